// What the whole page does: copying, and opening what is closed before it is printed.
for (const code of document.querySelectorAll("pre > code")) {
  const button = element("button", "copy", { type: "button", class: "copy", "aria-label": "Copy this command" });
  button.addEventListener("click", () => copy(code.textContent, button));
  code.parentNode.before(button);
}

const closed = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    closed.push(details);
  }
});
addEventListener("afterprint", () => {
  for (const details of closed.splice(0)) details.open = false;
});
