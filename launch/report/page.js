"use strict";
// Shows the values under the pointer. The page is complete without it.
(function () {
  function scale(text) {
    var p = text.split(" "), lo = +p[0], hi = +p[1], from = +p[2], to = +p[3], log = p[4] === "true";
    var f = log ? Math.log : function (v) { return v; };
    return {
      unit: p[5], start: Math.min(from, to), end: Math.max(from, to),
      at: function (v) { return from + (to - from) * (f(v) - f(lo)) / (f(hi) - f(lo)); }
    };
  }
  function si(v, unit) {
    var names = ["", "k", "M", "G", "T", "P", "E"], i = 0;
    while (Math.abs(v) >= 999.5 && i < 6) { v /= 1000; i++; }
    return Number(v.toPrecision(3)) + " " + names[i] + unit;
  }
  function clock(v) {
    if (v < 120) { return v.toFixed(v < 10 ? 2 : 1) + " s"; }
    var m = Math.floor(v / 60), h = Math.floor(m / 60);
    return h ? h + " h " + (m % 60) + " min" : m + " min " + Math.floor(v % 60) + " s";
  }
  function show(v, unit) {
    switch (unit) {
      case "percent": return (100 * v).toFixed(2) + " %";
      case "seconds": return clock(v);
      case "flops": return si(v, "FLOP");
      case "whole": return Math.round(v).toLocaleString("en-US");
    }
    return String(Number(v.toPrecision(4)));
  }
  function node(name, attributes) {
    var n = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.keys(attributes).forEach(function (k) { n.setAttribute(k, attributes[k]); });
    return n;
  }
  function numbers(text) { return text ? text.split(" ").map(Number) : []; }

  document.querySelectorAll("svg.chart").forEach(function (svg) {
    var s = svg.dataset.scale.split(";"), X = scale(s[0]), Y = scale(s[1]);
    var lines = Array.prototype.map.call(svg.querySelectorAll("g.line"), function (g) {
      return { name: g.dataset.name, look: g.getAttribute("class"), steps: !!g.dataset.steps, x: numbers(g.dataset.x), y: numbers(g.dataset.y) };
    });
    var layer = null, tip = null;
    function hide() {
      if (layer) { layer.remove(); tip.remove(); layer = tip = null; }
    }
    // The point of a line nearest to position px, or the one before it for steps.
    function nearest(l, px) {
      var best = -1, far = Infinity;
      l.x.forEach(function (x, i) {
        var d = X.at(x) - px;
        if (l.steps && d > 0.5) { return; }
        if (Math.abs(d) <= far) { far = Math.abs(d); best = i; }
      });
      return best >= 0 && (l.steps || far < 40) ? best : -1;
    }
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("pointermove", function (e) {
      var box = svg.getBoundingClientRect(), zoom = svg.viewBox.baseVal.width / box.width;
      var px = (e.clientX - box.left) * zoom;
      hide();
      if (px < X.start - 4 || px > X.end + 4) { return; }
      var hits = [], at = px, far = Infinity;
      lines.forEach(function (l) {
        var i = nearest(l, px);
        if (i < 0) { return; }
        hits.push({ line: l, i: i });
        var d = Math.abs(X.at(l.x[i]) - px);
        if (!l.steps && d < far) { far = d; at = X.at(l.x[i]); }
      });
      if (!hits.length) { return; }
      layer = node("g", {});
      layer.appendChild(node("path", { "class": "hair", d: "M" + at + " " + Y.start + "V" + Y.end }));
      tip = document.createElement("div");
      tip.className = "tip";
      var title = document.createElement("b"), first = hits.filter(function (h) { return !h.line.steps; })[0];
      if (first) {
        hits.forEach(function (h) { if (Math.abs(X.at(h.line.x[h.i]) - at) < 0.01) { first = h; } });
        title.textContent = (X.unit === "whole" || X.unit === "plain" ? svg.querySelector(".label").textContent + " " : "") + show(first.line.x[first.i], X.unit);
        tip.appendChild(title);
      }
      hits.slice(0, 12).forEach(function (h) {
        var y = Y.at(h.line.y[h.i]), row = document.createElement("span"), name = document.createElement("em"), value = document.createElement("i");
        row.className = h.line.look.replace("line", "");
        name.textContent = h.line.name;
        value.textContent = show(h.line.y[h.i], Y.unit);
        row.append(name, value);
        tip.appendChild(row);
        if (y >= Y.start - 8 && y <= Y.end + 8) {
          layer.appendChild(node("circle", { "class": "at " + h.line.look.replace("line", ""), cx: h.line.steps ? at : X.at(h.line.x[h.i]), cy: y, r: 3.5 }));
        }
      });
      svg.appendChild(layer);
      var figure = svg.closest("figure"), frame = figure.getBoundingClientRect();
      figure.appendChild(tip);
      var left = box.left - frame.left + at / zoom;
      left = left + 14 + tip.offsetWidth > frame.width ? left - 14 - tip.offsetWidth : left + 14;
      tip.style.left = Math.max(0, left) + "px";
      tip.style.top = box.top - frame.top + 8 + "px";
    });
  });
})();
