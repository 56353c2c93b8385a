"use strict";
// A verb on many letters goes on piece by piece while its page is open.
document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("form[data-continue]");
    if (form) {
        window.setTimeout(() => form.submit(), 300);
    }
    // A second click while the first is on its way would only be told that there is nothing left to do.
    document.querySelectorAll(".qo-page form").forEach((each) => each.addEventListener("submit", (event) => {
        if (each.dataset.sent) {
            event.preventDefault();
        }
        each.dataset.sent = "1";
    }));
});
// The browser's way back shows the page as it was left; its buttons work again.
window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((each) => delete each.dataset.sent);
});
