// Files on their way into the picture input. Gradio checks the extension of a file name and would reject a picture
// without a known one in the browser. Here such a file passes, and the server checks its content.

/** @param {Iterable<File>} files */
function transfer(files) {
  const made = new DataTransfer();
  for (const file of files) made.items.add(file);
  return made;
}

/** @param {FileList | File[]} files */
const hasPicture = (files) => [...files].some((file) => file.type.startsWith("image/"));

/**
 * The files to pass on.
 * @param {FileList | File[]} files
 */
function passing(files) {
  if (!files.length || hasPicture(files)) return transfer(files);
  return transfer([new File([files[0]], files[0].name, { type: "image/x-unknown" })]);
}

/**
 * @param {Element} target
 * @param {DataTransfer} dataTransfer
 */
const drop = (target, dataTransfer) => (
  target.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, composed: true, dataTransfer }))
);

/**
 * Watch every file that is chosen, dropped or pasted.
 * @param {(sentence: string) => void} say Show why something cannot be shown.
 */
export function watchFiles(say) {
  document.addEventListener("change", (event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    if (!input.matches("#picture input[type=file]") || hasPicture(input.files)) return;
    input.files = passing(input.files).files;
  }, true);

  // A drop is always passed on as a copy. Over a shown picture, Gradio reads the files only after it has cleared the
  // picture, when the browser has already released them.
  document.addEventListener("drop", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (!event.isTrusted || !target.closest("#picture") || !event.dataTransfer.files.length) return;
    const items = [...event.dataTransfer.items];
    const isFolder = items.some((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()?.isDirectory);
    event.preventDefault();
    event.stopImmediatePropagation();
    if (isFolder) say("A folder cannot be shown; drop one picture.");
    else drop(target, passing(event.dataTransfer.files));
  }, true);

  // Ctrl+V: a copied picture, or a file that was copied in a folder. Text is pasted at the cursor.
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData ? [...event.clipboardData.files] : [];
    const target = /** @type {Element} */ (event.target);
    const field = target.closest && target.closest("input, textarea");
    const isText = field && event.clipboardData.types.includes("text/plain");
    const input = document.querySelector("#picture .upload-container");
    if (!files.length || isText || !input) return;
    event.preventDefault();
    drop(input, passing(files));
  });
}
