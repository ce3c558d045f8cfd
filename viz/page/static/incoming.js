// Files on their way into the picture input. The host's own check goes by the ending of a name: without one that it
// knows a picture would be turned away in the browser. Here such a file passes, and the server looks at what is in it.
if (!document.documentElement.dataset.incoming) { // once, however often the viewer is built
  document.documentElement.dataset.incoming = "watched";
  const named = (file) => file.type.startsWith("image/");

  // The files as they are to be handed on.
  const passing = (files) => {
    if (!files.length || [...files].some(named)) return transfer(files);
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
    const { files } = event.target;
    if (![...files].some(named)) event.target.files = passing(files).files;
  }, true);

  // A drop is always handed on as a copy: over a shown picture the host looks at the files only after it has cleared the
  // picture, when the browser has already taken them back.
  document.addEventListener("drop", (event) => {
    if (!event.isTrusted || !event.target.closest("#picture") || !event.dataTransfer.files.length) return;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
    event.preventDefault();
    event.stopImmediatePropagation();
    if (entries.some((entry) => entry && entry.isDirectory)) banner("A folder cannot be shown; drop one picture.");
    else drop(event.target, passing(event.dataTransfer.files));
  }, true);

  // Ctrl+V: a copied picture, or a file that was copied in a folder. Text goes where the cursor is.
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData ? [...event.clipboardData.files] : [];
    const writing = event.target.closest && event.target.closest("input, textarea") && event.clipboardData.types.includes("text/plain");
    const input = document.querySelector("#picture .upload-container");
    if (!files.length || writing || !input) return;
    event.preventDefault();
    drop(input, passing(files));
  });
}
