/* On a phone the filters above the rows begin folded. Without this script they stay open. */
"use strict";

const phone = window.matchMedia("(max-width: 767px)");
const fold = () => {
    for (const filters of document.querySelectorAll(".feexpay-filters")) {
        filters.open = !phone.matches;
    }
};

phone.addEventListener("change", fold);
fold();
