// Copying a text, also where the clipboard is not offered to a page opened from disk.
const copyBySelection = (text) => {
  const area = element("textarea", text, { readonly: "", class: "unseen" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
};

const copy = async (text, button) => {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    done = copyBySelection(text);
  }
  button.focus();
  button.textContent = done ? "copied" : "failed";
  announce(done ? `Copied: ${text}` : `Could not copy. The command is: ${text}`);
  setTimeout(() => {
    button.textContent = "copy";
  }, 1500);
};
