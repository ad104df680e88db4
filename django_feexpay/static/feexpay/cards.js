/* Each value of a list gets the heading of its column: on a phone the rows are cards. There the filters start folded. */
document.addEventListener("DOMContentLoaded", () => {
    "use strict";

    for (const table of document.querySelectorAll("#result_list")) {
        const headings = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
        for (const row of table.tBodies[0].rows) {
            [...row.cells].forEach((cell, number) => {
                cell.dataset.label = headings[number];
            });
        }
    }
    if (window.matchMedia("(max-width: 767px)").matches) {
        for (const filter of document.querySelectorAll("#changelist-filter details")) {
            filter.open = false;
        }
    }
});
