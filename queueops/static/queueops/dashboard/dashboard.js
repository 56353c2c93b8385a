"use strict";
// The live pages: they follow by the event stream, or ask by themselves; charts; and small things forms need.
(() => {
    const ASK_EVERY = 4000;      // ms between two looks without a stream
    const UNTOLD = ["fingerprint", "letter", "id", "hours"];  // what means nothing to a person who is asked
    const SILENT_AFTER = 9000;   // ms after which a stream that says nothing is not relied on
    let heard = 0;               // when the stream last spoke
    let refreshed = Date.now();

    const live = () => document.getElementById("qd-live");
    const now = () => Date.now();

    // Following
    function pulse(word, state) {
        const mark = document.querySelector("[data-pulse]");
        if (mark) {
            mark.dataset.state = state;
            mark.querySelector("[data-pulse-text]").textContent = word;
        }
    }

    // Somebody fills in a form or reads what a dialog asks: the page must not change under their hands.
    function busy() {
        const area = live();
        if (area.querySelector(":popover-open") || area.querySelector("input[type=checkbox]:checked")) {
            return true;
        }
        const focused = document.activeElement;
        return area.contains(focused) && focused.matches("input, select, textarea");
    }

    function tick() {
        const area = live();
        if (!area || !("live" in area.dataset) || document.hidden) {
            return;
        }
        const streams = heard && now() - heard < SILENT_AFTER;
        if (!streams && now() - refreshed >= ASK_EVERY) {
            window.htmx.trigger(area, "refresh");
        }
        if (now() - refreshed > 4 * ASK_EVERY && !busy()) {
            pulse("not answered lately", "away");
        }
    }

    // Charts
    const plots = new Map();
    const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const read = (id) => {
        const found = document.getElementById(id);
        return found ? JSON.parse(found.textContent) : null;
    };

    // What the page has seen of the depth; another page, or the same one after a button, goes on with it.
    function seen() {
        const key = `qd-depth ${window.location.pathname}`;
        const latest = read("now");
        let points = [];
        try {
            points = JSON.parse(window.sessionStorage.getItem(key) || "[]");
        } catch {
            points = [];
        }
        if (latest && (!points.length || points.at(-1)[0] < latest.at)) {
            points = points.filter(([at]) => at > latest.at - 900).concat([[latest.at, latest.waiting, latest.running]]);
            try {
                window.sessionStorage.setItem(key, JSON.stringify(points.slice(-600)));
            } catch {
                // Full or forbidden: the chart begins anew with each page.
            }
        }
        return points;
    }

    const shown = (seconds) => (seconds == null ? "–" : seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);
    const number = (value) => (value == null ? "–" : value.toLocaleString("en"));
    // The project's time zone, as the tables have it; the reader's own would put one moment at two times.
    const zone = live()?.dataset.zone;
    const clock = (at, seconds) => new Date(at * 1000).toLocaleTimeString("en-GB", {timeZone: zone, hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined});
    const KINDS = {
        ended: {
            data: (series) => [series.at, series.succeeded, series.failed],
            series: [
                {label: "succeeded", stroke: "--qo-green", fill: "--qo-green-bg", value: number},
                {label: "failed", stroke: "--qo-red", fill: "--qo-red-bg", value: number},
            ],
        },
        times: {
            data: (series) => [series.at, series.wait, series.run],
            series: [
                {label: "wait", stroke: "--qo-amber", value: shown},
                {label: "run", stroke: "--qo-blue", value: shown},
            ],
            axis: shown,
        },
        depth: {
            data: () => {
                let points = seen();
                if (points.length === 1) {
                    points = [[points[0][0] - 45, null, null], ...points];  // one point alone has no line
                }
                return [0, 1, 2].map((place) => points.map((point) => point[place]));
            },
            series: [
                {label: "waiting", stroke: "--qo-blue", value: number},
                {label: "in flight", stroke: "--qo-green", value: number},
            ],
        },
    };

    function options(kind, width) {
        const axis = {stroke: style("--body-quiet-color"), grid: {stroke: style("--hairline-color"), width: 1}, ticks: {show: false}, font: "11px system-ui, sans-serif"};
        const label = kind.axis || number;
        return {
            width,
            height: 148,
            padding: [8, 8, 0, 0],
            cursor: {y: false, points: {size: 6}},
            legend: {live: true},
            tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone),
            scales: {x: {range: (plot, low, high) => (high == null ? [0, 60] : [Math.min(low, high - 45), high])}, y: {range: (plot, low, high) => [0, Math.max(high || 0, 1) * 1.08]}},
            axes: [
                {...axis, values: (plot, splits) => splits.map((at) => clock(at, splits.at(-1) - splits[0] < 300)), space: 60, size: 26, gap: 4},
                {...axis, size: 46, gap: 6, space: 34, values: (plot, splits) => splits.map((value) => label(value))},
            ],
            series: [
                {label: "", value: (plot, at) => (at == null ? "" : clock(at, true))},
                ...kind.series.map((one) => ({
                    label: one.label,
                    width: 1.5,
                    stroke: style(one.stroke),
                    fill: one.fill ? style(one.fill) : undefined,
                    points: {show: false},
                    spanGaps: false,
                    value: (plot, value) => one.value(value),
                })),
            ],
        };
    }

    function draw() {
        const series = read("series");
        document.querySelectorAll("[data-chart]").forEach((place) => {
            const kind = KINDS[place.dataset.chart];
            const data = kind.data(series || {at: [], succeeded: [], failed: [], wait: [], run: []});
            const known = plots.get(place.id);
            if (known && known.root.isConnected) {
                known.setData(data);
                return;
            }
            place.replaceChildren();
            plots.set(place.id, new window.uPlot(options(kind, place.clientWidth || 300), data, place));
        });
    }

    function again() {
        plots.forEach((plot) => plot.destroy());
        plots.clear();
        draw();
    }

    // Forms
    function forms() {
        document.addEventListener("submit", (event) => {
            const form = event.target;
            const pressed = event.submitter;
            if (form.method !== "post") {
                return;
            }
            if (pressed && pressed.dataset.confirm && !window.confirm(pressed.dataset.confirm)) {
                event.preventDefault();
                return;
            }
            // The answer is a file and the page stays: nothing else would close the dialog.
            if ("downloads" in form.dataset) {
                form.closest("[popover]").hidePopover();
                return;
            }
            // A second click while the first is on its way would only be told that there is nothing left to do.
            if (form.dataset.sent) {
                event.preventDefault();
            }
            form.dataset.sent = "1";
            form.classList.add("qd-sent");
        });
        document.addEventListener("change", (event) => {
            if (event.target.matches("[data-all]")) {
                document.querySelectorAll("#qd-chosen input[name=task_id]").forEach((one) => { one.checked = event.target.checked; });
            }
            const told = document.querySelector("[data-chosen-count]");
            if (told) {
                const chosen = document.querySelectorAll("#qd-chosen input[name=task_id]:checked").length;
                told.textContent = chosen ? `${chosen} chosen` : "Tick jobs, then";
            }
        });
        // The browser's way back shows the page as it was left; its buttons work again.
        window.addEventListener("pageshow", () => {
            document.querySelectorAll("form[data-sent]").forEach((form) => {
                delete form.dataset.sent;
                form.classList.remove("qd-sent");
            });
        });
        // A dialog serves all buttons of its kind: the one that is pressed says what it is about.
        document.addEventListener("click", (event) => {
            const button = event.target.closest("[data-ask]");
            if (!button) {
                return;
            }
            const dialog = document.getElementById(button.getAttribute("popovertarget"));
            const form = dialog.querySelector("form");
            const values = JSON.parse(button.dataset.ask);
            form.reset();
            Object.entries(values).forEach(([name, value]) => {
                if (form.elements[name]) {
                    form.elements[name].value = value;
                }
            });
            dialog.querySelectorAll("[data-verb]").forEach((place) => { place.textContent = button.dataset.label; });
            dialog.querySelector("[data-target]").textContent = Object.entries(values).filter(([name]) => !UNTOLD.includes(name)).map(([, value]) => value).filter(Boolean).join(" in ");
        }, true);
        document.addEventListener("toggle", (event) => {
            if (event.target.matches("[popover]") && event.newState === "open") {
                const first = event.target.querySelector("input:not([type=hidden]), select, textarea");
                if (first) {
                    first.focus();
                }
            }
        }, true);
    }

    document.addEventListener("DOMContentLoaded", () => {
        forms();
        draw();
        const here = document.querySelector(".qd-nav .qd-here");
        if (here) {
            here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 40;
        }
        const area = live();
        if (!area) {
            return;
        }
        area.addEventListener("htmx:beforeRequest", (event) => {
            if (event.target === area && busy()) {
                event.preventDefault();
            }
        });
        area.addEventListener("htmx:beforeSwap", (event) => {
            // The answer may come after a dialog was opened.
            if (event.target === area && busy()) {
                event.detail.shouldSwap = false;
            }
        });
        area.addEventListener("htmx:afterSwap", () => {
            refreshed = now();
            draw();
            pulse(heard && now() - heard < SILENT_AFTER ? "live" : "every 4 s", "live");
        });
        area.addEventListener("htmx:sendError", () => pulse("no connection", "away"));
        area.addEventListener("htmx:responseError", () => pulse("not answered lately", "away"));
        ["htmx:sseMessage", "htmx:sseOpen"].forEach((name) => area.addEventListener(name, () => { heard = now(); }));
        area.addEventListener("htmx:sseClose", () => { heard = 0; });
        window.setInterval(tick, 1000);
        let waiting = 0;
        window.addEventListener("resize", () => { window.clearTimeout(waiting); waiting = window.setTimeout(again, 150); });
        window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
        document.querySelectorAll(".theme-toggle").forEach((button) => button.addEventListener("click", () => window.setTimeout(again, 50)));
    });
})();
