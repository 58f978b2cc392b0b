// Keys press what the page shows: 1, 2, 3 vote, u takes the last vote back, arrows leaf through. Not while typing.
"use strict";
let sent = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const wanted = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
  if (!wanted || wanted.disabled || sent) return;
  event.preventDefault();
  wanted.click();
});
// One vote for one item, however often the button is pressed before the next page comes.
document.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  sent = true;
});
addEventListener("pageshow", () => { sent = false; });
