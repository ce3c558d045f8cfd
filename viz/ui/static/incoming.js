// Files on their way into the picture input. The host's own check goes by the ending of a name: without one that it
// knows a picture would be turned away in the browser. Here such a file passes, and the server looks at what is in it.
if (!document.documentElement.dataset.incoming) { // once, however often the viewer is built
  document.documentElement.dataset.incoming = "watched";
  const named = (file) => file.type.startsWith("image/");

  // What is to be handed on instead of the files, or null where they pass as they are.
  const passing = (files) => {
    if (!files.length || [...files].some(named)) return null;
    return transfer([new File([files[0]], files[0].name, { type: "image/x-unknown" })]);
  };
  const transfer = (files) => {
    const made = new DataTransfer();
    for (const file of files) made.items.add(file);
    return made;
  };
  const drop = (target, dataTransfer) =>
    target.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, composed: true, dataTransfer }));

  document.addEventListener("change", (event) => {
    if (!event.target.matches("#picture input[type=file]")) return;
    const other = passing(event.target.files);
    if (other) event.target.files = other.files;
  }, true);

  document.addEventListener("drop", (event) => {
    if (!event.target.closest("#picture") || !event.dataTransfer) return;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
    const folder = entries.some((entry) => entry && entry.isDirectory);
    const other = passing(event.dataTransfer.files);
    if (!folder && !other) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (folder) banner("A folder cannot be shown; drop one picture.");
    else drop(event.target, other);
  }, true);

  // Ctrl+V: a copied picture, or a file that was copied in a folder. Text goes where the cursor is.
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData ? [...event.clipboardData.files] : [];
    const writing = event.target.closest && event.target.closest("input, textarea") && event.clipboardData.types.includes("text/plain");
    const input = document.querySelector("#picture .upload-container");
    if (!files.length || writing || !input) return;
    event.preventDefault();
    drop(input, transfer(files));
  });
}
