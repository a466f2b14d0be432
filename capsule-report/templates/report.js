'use strict';
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
const byId = id => document.getElementById(id);
// One array for each process: see html/data.rs for what stands where.
const [PARENT, PID, START, TOOK, TAG, TEXT, OK, END, FLAGS, WORST, MORE] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const [SHOWN, AGENT] = [1, 2];
const procs = data.procs, total = procs.length, severities = data.severities;
const lower = new Array(total);
const low = i => lower[i] ?? (lower[i] = (data.tags[procs[i][TAG]] + ' ' + procs[i][TEXT] + ' ' + procs[i][PID]).toLowerCase());
const children = Array.from({length: total}, () => null), roots = [];
for (let i = 0; i < total; i++) {
  const up = procs[i][PARENT] - 1;
  if (up >= 0) (children[up] ??= []).push(i); else roots.push(i);
}
const state = {query: '', kind: '', failed: false, risky: false, all: false, selected: -1, open: new Uint8Array(total), split: new Set(), rows: [], at: 0};
const wanted = i => state.all || (procs[i][FLAGS] & (SHOWN | AGENT)) || procs[i][PARENT] === 0 || procs[i][WORST] >= 2;
const filtering = () => state.query || state.kind || state.failed || state.risky;
function fits(i) {
  const p = procs[i];
  return (!state.failed || p[OK] === 0) && (!state.risky || p[WORST] >= 0) && (!state.kind || data.tags[p[TAG]] === state.kind)
    && (!state.query || low(i).includes(state.query));
}
// Preorder, with where each subtree ends: everything else walks these, never itself.
const order = [], ends = new Int32Array(total), depth = new Int32Array(total);
{
  const stack = roots.slice().reverse(), open = [];
  while (stack.length) {
    const i = stack.pop();
    if (i < 0) { ends[open.pop()] = order.length; continue; }
    order.push(i); open.push(i); stack.push(-1);
    const below = children[i];
    if (below) for (let k = below.length - 1; k >= 0; k--) { depth[below[k]] = depth[i] + 1; stack.push(below[k]); }
  }
}
const place = new Int32Array(total);
order.forEach((i, at) => { place[i] = at; });
function flatten() {
  const filter = filtering(), keep = new Uint8Array(total), rows = [];
  let hits = 0;
  if (filter) {
    for (let at = order.length - 1; at >= 0; at--) {
      const i = order[at], hit = fits(i) && (state.all || state.query || wanted(i));
      if (hit) hits++;
      if (hit) keep[i] = 2;
      const up = procs[i][PARENT] - 1;
      if (keep[i] && up >= 0 && !keep[up]) keep[up] = 1;
    }
  }
  // Shown depth and whether shown children exist, by a stack of shown ancestors.
  const stack = [];
  for (let at = 0; at < order.length;) {
    const i = order[at];
    while (stack.length && ends[stack[stack.length - 1].i] <= at) stack.pop();
    const shown = filter ? (keep[i] === 2 || (keep[i] === 1 && wanted(i))) : wanted(i);
    if (filter && !keep[i]) { at = ends[i]; continue; }
    if (!shown) { at++; continue; }
    const up = stack[stack.length - 1];
    if (up) up.kids = true;
    if (up && up.closed) { at = ends[up.i]; continue; }
    const row = {i, level: stack.length, kids: false, closed: !filter && !state.open[i], hit: keep[i] === 2};
    rows.push(row); stack.push(row); at++;
  }
  state.rows = filter || state.all ? rows : joined(rows);
  byId('count').textContent = filter ? `${hits.toLocaleString()} match` : `${rows.length.toLocaleString()} of ${total.toLocaleString()} processes`;
}
// Equal commands in a row that started nothing and have no finding of note are one line, until somebody opens it.
function joined(rows) {
  const out = [];
  for (let at = 0; at < rows.length;) {
    const first = rows[at], p = procs[first.i];
    let end = at + 1, sum = p[TOOK];
    if (!first.kids && p[WORST] < 2) {
      for (; end < rows.length; end++) {
        const row = rows[end], q = procs[row.i];
        if (row.kids || row.level !== first.level || q[PARENT] !== p[PARENT] || q[TAG] !== p[TAG] || q[TEXT] !== p[TEXT] || q[OK] !== p[OK] || q[END] !== p[END] || q[WORST] >= 2) break;
        sum = sum === null || q[TOOK] === null ? null : sum + q[TOOK];
      }
    }
    const times = end - at, chosen = rows.slice(at + 1, end).some(row => row.i === state.selected);
    if (times >= 3 && !chosen && !state.split.has(first.i)) out.push({...first, times, sum, kids: true, closed: true}); else out.push(...rows.slice(at, end));
    at = end;
  }
  return out;
}
const ROW = 24, tree = byId('tree'), spacer = byId('spacer'), pool = new Map();
const make = (name, cls, text) => { const e = document.createElement(name); if (cls) e.className = cls; if (text !== undefined) e.textContent = text; return e; };
const took = us => us === null ? '' : us < 1000 ? '<1 ms' : us < 1e6 ? `${Math.round(us / 1000)} ms` : us < 6e7 ? `${(us / 1e6).toFixed(1)} s` : `${Math.floor(us / 6e7)} min ${Math.floor(us / 1e6) % 60} s`;
function mark(p) {
  const span = make('span', p[OK] === 1 ? 'ok' : p[OK] === 0 ? 'bad' : 'warn', p[OK] === 1 ? '✓' : p[OK] === 0 ? '✗' : '·');
  if (p[OK] !== 1 && p[END] >= 0) span.textContent += ' ' + data.endings[p[END]];
  return span;
}
const tagOf = p => make('span', 'tag ' + data.tags[p[TAG]].split(':')[0], data.tags[p[TAG]]);
const sevOf = p => make('span', 'sev ' + severities[p[WORST]], '⚠ ' + severities[p[WORST]].toUpperCase());
function rowElement(at) {
  const {i, level, kids, closed, hit, times, sum} = state.rows[at], p = procs[i];
  const row = make('div', 'row' + (i === state.selected ? ' sel' : '') + (hit ? ' hit' : ''));
  row.id = 'row' + i;
  row.setAttribute('role', 'treeitem');
  row.setAttribute('aria-level', level + 1);
  row.setAttribute('aria-selected', i === state.selected);
  if (kids) row.setAttribute('aria-expanded', !closed);
  row.style.top = at * ROW + 'px';
  row.style.paddingLeft = 4 + Math.min(level, 30) * 16 + 'px';
  row.append(make('span', 'twist', kids ? (closed ? '▸' : '▾') : ''));
  if (level > 30) row.append(make('span', 'dim', '⋯' + level));
  row.append(tagOf(p), make('span', 'text', p[TEXT]));
  if (times) row.append(make('span', 'times', '×' + times.toLocaleString()));
  row.append(mark(p));
  if (p[WORST] >= 0) row.append(sevOf(p));
  row.append(make('span', 'end', `${took(times ? sum : p[TOOK])}  ${p[PID]}${times ? '…' : ''}`));
  row.dataset.at = at;
  return row;
}
function draw(fresh) {
  if (fresh) { pool.forEach(e => e.remove()); pool.clear(); spacer.style.height = state.rows.length * ROW + 'px'; }
  const first = Math.max(0, Math.floor(tree.scrollTop / ROW) - 10), last = Math.min(state.rows.length, first + Math.ceil(tree.clientHeight / ROW) + 20);
  pool.forEach((e, at) => { if (at < first || at >= last) { e.remove(); pool.delete(at); } });
  for (let at = first; at < last; at++) if (!pool.has(at)) { const e = rowElement(at); pool.set(at, e); spacer.append(e); }
}
function refresh() { flatten(); draw(true); }
function select(i, scroll) {
  state.selected = i;
  const at = state.rows.findIndex(row => row.i === i);
  if (at >= 0) {
    state.at = at;
    if (scroll) {
      const top = at * ROW;
      if (top < tree.scrollTop) tree.scrollTop = top; else if (top + ROW > tree.scrollTop + tree.clientHeight) tree.scrollTop = top + ROW - tree.clientHeight;
    }
  }
  draw(true); details(i); paint();
  tree.setAttribute('aria-activedescendant', 'row' + i);
}
function reveal(i) {
  let up = procs[i][PARENT] - 1;
  for (let guard = 0; up >= 0 && guard < total; guard++) { state.open[up] = 1; up = procs[up][PARENT] - 1; }
  if (!wanted(i)) press('all', true);
  if (filtering()) clear();
  state.selected = i;
  refresh(); select(i, true);
}
function details(i) {
  const box = byId('detail'), p = procs[i], more = p[MORE] || {};
  box.replaceChildren();
  const head = make('h3'); head.append(tagOf(p), ' ', p[TEXT]); box.append(head);
  const list = make('dl'), add = (name, value) => { if (value === undefined || value === null || value === '') return; const dd = make('dd'); dd.append(value); list.append(make('dt', '', name), dd); };
  const end = make('span'); end.append(mark(p), ' ', p[END] >= 0 && p[OK] === 1 ? data.endings[p[END]] : '');
  add('process', `${i + 1} (PID ${p[PID]})`); add('ended', end); add('began', '+' + took(p[START])); add('took', took(p[TOOK]));
  add('role', data.roles[more.r]); add('rule', more.u); add('directory', more.d); add('executable', more.x); add('CPU', more.c === undefined ? null : took(more.c));
  add('memory', more.m ? `${Math.round(more.m / 1024).toLocaleString()} MiB` : null); add('failed execs', more.f || null);
  const link = j => { const a = make('a', 'proc', data.tags[procs[j][TAG]] + ' ' + procs[j][TEXT].slice(0, 80)); a.href = '#tree'; a.dataset.proc = j + 1; return a; };
  if (p[PARENT]) add('started by', link(p[PARENT] - 1));
  if (children[i]) { const ul = make('div'); children[i].slice(0, 20).forEach(j => { const d = make('div'); d.append(link(j)); ul.append(d); }); if (children[i].length > 20) ul.append(`… ${children[i].length - 20} more`); add('started', ul); }
  if (more.k) add('used', more.k.join('\n'));
  for (const r of more.s || []) add('risk', `${data.risks[r][0].toUpperCase()} ${data.risks[r][1]}: ${data.risks[r][2]}`);
  box.append(list);
  for (const argv of more.a || []) { const ol = make('ol'); ol.start = 0; argv.forEach(arg => ol.append(make('li', 'mono', arg))); box.append(make('div', 'dim', 'arguments'), ol); }
}
function press(id, on) { state[id] = on; byId(id).setAttribute('aria-pressed', on); }
function clear() { byId('q').value = state.query = ''; byId('kind').value = state.kind = ''; press('failed', false); press('risky', false); tables(); }
function tables() { for (const e of document.querySelectorAll('.find')) e.hidden = !!state.query && !e.textContent.toLowerCase().includes(state.query); }
let timer;
byId('q').addEventListener('input', e => { clearTimeout(timer); timer = setTimeout(() => { state.query = e.target.value.trim().toLowerCase(); tree.scrollTop = 0; tables(); refresh(); paint(); }, 60); });
data.tags.slice().sort().forEach(tag => { const o = make('option', '', tag); o.value = tag; byId('kind').append(o); });
byId('kind').addEventListener('change', e => { state.kind = e.target.value; tree.scrollTop = 0; refresh(); paint(); });
const toggles = {failed: 'f', risky: 'r', all: 'a'};
for (const id of Object.keys(toggles)) byId(id).addEventListener('click', () => { press(id, !state[id]); refresh(); lay(); paint(); });
const openAll = value => { state.open.fill(value); state.split.clear(); if (!value) roots.forEach(i => { state.open[i] = 1; }); refresh(); };
byId('expand').addEventListener('click', () => openAll(1));
byId('collapse').addEventListener('click', () => openAll(0));
const root = document.documentElement;
const dark = () => root.dataset.theme === 'dark';
const setTheme = on => { root.dataset.theme = on ? 'dark' : 'light'; paint(); };
byId('theme').addEventListener('click', () => setTheme(!dark()));
tree.addEventListener('scroll', () => requestAnimationFrame(() => draw(false)));
function toggle(at, open) { const {i, kids, times} = state.rows[at]; if (!kids) return; if (times) state.split.add(i); else state.open[i] = (open ?? !state.open[i]) ? 1 : 0; refresh(); select(i, true); }
spacer.addEventListener('click', e => {
  const row = e.target.closest('.row'); if (!row) return;
  const at = +row.dataset.at;
  if (e.target.classList.contains('twist')) toggle(at); else select(state.rows[at].i, false);
  tree.focus();
});
spacer.addEventListener('dblclick', e => { const row = e.target.closest('.row'); if (row) toggle(+row.dataset.at); });
document.addEventListener('click', e => { const a = e.target.closest('a.proc'); if (a) { e.preventDefault(); reveal(+a.dataset.proc - 1); tree.scrollIntoView({block: 'nearest'}); } });
tree.addEventListener('keydown', e => {
  const rows = state.rows; if (!rows.length) return;
  const go = at => { const to = Math.max(0, Math.min(rows.length - 1, at)); select(rows[to].i, true); };
  const page = Math.max(1, Math.floor(tree.clientHeight / ROW) - 1), here = state.selected < 0 ? -1 : state.at;
  const row = rows[Math.max(0, here)];
  switch (e.key) {
    case 'ArrowDown': go(here + 1); break;
    case 'ArrowUp': go(here - 1); break;
    case 'PageDown': go(here + page); break;
    case 'PageUp': go(here - page); break;
    case 'Home': go(0); break;
    case 'End': go(rows.length - 1); break;
    case 'ArrowRight': if (row.kids && row.closed) toggle(here, true); else if (row.kids) go(here + 1); break;
    case 'ArrowLeft':
      if (row.kids && !row.closed) toggle(here, false);
      else { let at = here; while (at > 0 && rows[at].level >= row.level) at--; go(at); }
      break;
    case 'Enter': case ' ': if (here >= 0) toggle(here); break;
    default: return;
  }
  e.preventDefault();
});
document.addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName);
  if (e.key === 'Escape') { clear(); refresh(); paint(); tree.focus(); return; }
  if (typing) return;
  const key = {'/': () => byId('q').focus(), f: () => byId('failed').click(), r: () => byId('risky').click(), a: () => byId('all').click(),
    e: () => openAll(1), c: () => openAll(0), t: () => setTheme(!dark())}[e.key];
  if (key) { e.preventDefault(); key(); }
});
// The timeline: processes packed into lanes by their beginnings, drawn on a canvas, only what is in view.
const canvas = byId('lanes'), pen = canvas.getContext('2d'), tip = byId('tip');
const span = Math.max(1, data.duration), view = {from: 0, to: span, top: 0}, LANE = 12, HEAD = 22;
let lanes = [], laneCount = 0, kindOf = new Int8Array(total).fill(-1);
const kinds = ['explore', 'edit', 'build', 'test', 'commit', 'network', 'security', 'run', 'quiet'];
data.phases.forEach(([kind, , , members]) => members.forEach(n => { kindOf[n - 1] = kinds.indexOf(kind); }));
const colors = {FileAnalysis: 'explore', SystemExploration: 'explore', CodeGeneration: 'edit', RepositoryOperation: 'commit', NetworkCommunication: 'network', SecurityOperation: 'security'};
const colorOf = i => { const tag = data.tags[procs[i][TAG]]; if (tag === 'AGENT') return 'agent'; return colors[tag.split(':')[1]] || (kindOf[i] >= 0 ? kinds[kindOf[i]] : 'run'); };
const endOf = p => p[TOOK] === null ? span : p[START] + p[TOOK];
function lay() {
  const shown = []; for (let i = 0; i < total; i++) if (wanted(i)) shown.push(i);
  shown.sort((a, b) => procs[a][START] - procs[b][START] || a - b);
  // A heap of lanes by when they become free.
  const free = []; let count = 0; lanes = [];
  const push = x => { let k = free.push(x) - 1; while (k > 0) { const up = (k - 1) >> 1; if (free[up][0] <= free[k][0]) break; [free[up], free[k]] = [free[k], free[up]]; k = up; } };
  const pop = () => { const top = free[0], last = free.pop(); if (free.length) { free[0] = last; let k = 0; for (;;) { const l = 2 * k + 1, r = l + 1; let m = k; if (l < free.length && free[l][0] < free[m][0]) m = l; if (r < free.length && free[r][0] < free[m][0]) m = r; if (m === k) break; [free[m], free[k]] = [free[k], free[m]]; k = m; } } return top; };
  for (const i of shown) {
    const lane = free.length && free[0][0] <= procs[i][START] ? pop()[1] : count++;
    (lanes[lane] ??= []).push(i); push([Math.max(endOf(procs[i]), procs[i][START] + 1), lane]);
  }
  laneCount = count;
  canvas.parentElement.style.height = Math.max(110, Math.min(420, laneCount * LANE + HEAD + LANE)) + 'px';
}
let queued = false;
function paint() { if (!queued) { queued = true; requestAnimationFrame(() => { queued = false; render(); }); } }
function render() {
  const ratio = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const css = getComputedStyle(root), color = name => css.getPropertyValue('--' + name).trim();
  const palette = {}; for (const name of [...kinds, 'agent', 'bad', 'line', 'dim', 'fg', 'accent']) palette[name] = color(name);
  pen.clearRect(0, 0, w, h);
  const scale = w / (view.to - view.from), x = t => (t - view.from) * scale;
  for (const [kind, from, length] of data.phases) if (kind === 'quiet') { pen.fillStyle = palette.quiet; pen.fillRect(x(from), HEAD, Math.max(1, length * scale), h - HEAD); }
  pen.font = '11px system-ui,sans-serif'; pen.fillStyle = palette.dim; pen.strokeStyle = palette.line; pen.lineWidth = 1;
  const rough = (view.to - view.from) / Math.max(2, w / 110), power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough);
  for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) { pen.beginPath(); pen.moveTo(x(t), HEAD - 6); pen.lineTo(x(t), h); pen.stroke(); pen.fillText('+' + (t === 0 ? '0' : took(Math.round(t))), x(t) + 3, 13); }
  const filter = filtering();
  const first = Math.max(0, Math.floor(view.top / LANE)), last = Math.min(laneCount, Math.ceil((view.top + h) / LANE));
  for (let lane = first; lane < last; lane++) {
    const y = HEAD + lane * LANE - view.top; if (y < HEAD - LANE) continue;
    const list = lanes[lane];
    let lo = 0, hi = list.length;
    while (lo < hi) { const mid = (lo + hi) >> 1; if (endOf(procs[list[mid]]) < view.from) lo = mid + 1; else hi = mid; }
    let edge = -1;
    for (let k = lo; k < list.length; k++) {
      const i = list[k], p = procs[i], a = x(p[START]); if (a > w) break;
      const b = Math.max(a + 1, x(endOf(p)));
      if (b <= edge && i !== state.selected) continue;
      edge = Math.floor(b);
      pen.globalAlpha = filter && !fits(i) ? 0.15 : 1;
      pen.fillStyle = palette[colorOf(i)]; pen.fillRect(a, y + 1, b - a, LANE - 2);
      if (p[OK] === 0) { pen.fillStyle = palette.bad; pen.fillRect(a, y + LANE - 4, b - a, 3); }
      if (i === state.selected) { pen.strokeStyle = palette.fg; pen.lineWidth = 2; pen.strokeRect(a - 1, y, b - a + 2, LANE); pen.lineWidth = 1; }
    }
  }
  pen.globalAlpha = 1;
}
function zoom(factor, at) { const width = Math.min(span, Math.max(10, (view.to - view.from) * factor)), left = at - (at - view.from) * (width / (view.to - view.from)); view.from = Math.max(0, Math.min(span - width, left)); view.to = view.from + width; paint(); }
function pan(by) { const width = view.to - view.from; view.from = Math.max(0, Math.min(span - width, view.from + by)); view.to = view.from + width; paint(); }
function lift(by) { view.top = Math.max(0, Math.min(Math.max(0, laneCount * LANE + HEAD - canvas.clientHeight), view.top + by)); paint(); }
const timeAt = e => view.from + (e.offsetX / canvas.clientWidth) * (view.to - view.from);
function under(e) {
  const lane = Math.floor((e.offsetY - HEAD + view.top) / LANE), t = timeAt(e), slack = 3 * (view.to - view.from) / canvas.clientWidth, list = e.offsetY >= HEAD && lanes[lane];
  if (!list) return -1;
  let best = -1;
  for (const i of list) { const p = procs[i]; if (p[START] - slack > t) break; if (endOf(p) + slack >= t) best = i; }
  return best;
}
canvas.addEventListener('wheel', e => { e.preventDefault(); if (e.shiftKey) lift(e.deltaY); else if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) pan(e.deltaX / canvas.clientWidth * (view.to - view.from)); else zoom(e.deltaY > 0 ? 1.2 : 1 / 1.2, timeAt(e)); }, {passive: false});
let drag = null;
canvas.addEventListener('pointerdown', e => { drag = {x: e.offsetX, y: e.offsetY, moved: false}; canvas.setPointerCapture(e.pointerId); });
canvas.addEventListener('pointermove', e => {
  if (drag) { const dx = drag.x - e.offsetX, dy = drag.y - e.offsetY; if (Math.abs(dx) + Math.abs(dy) > 3) drag.moved = true; if (drag.moved) { pan(dx / canvas.clientWidth * (view.to - view.from)); lift(dy); drag.x = e.offsetX; drag.y = e.offsetY; } return; }
  const i = under(e); tip.hidden = i < 0;
  if (i >= 0) { tip.textContent = `${data.tags[procs[i][TAG]]} ${procs[i][TEXT]} (${took(procs[i][TOOK])})`; tip.style.left = Math.min(e.offsetX + 12, canvas.clientWidth * 0.4) + 'px'; tip.style.top = Math.min(e.offsetY + 14, canvas.clientHeight - 30) + 'px'; }
});
canvas.addEventListener('pointerup', e => { if (drag && !drag.moved) { const i = under(e); if (i >= 0) reveal(i); } drag = null; });
canvas.addEventListener('pointerleave', () => { tip.hidden = true; });
canvas.addEventListener('dblclick', () => { view.from = 0; view.to = span; paint(); });
canvas.addEventListener('keydown', e => {
  const width = view.to - view.from, middle = view.from + width / 2;
  const key = {'+': () => zoom(1 / 1.4, middle), '=': () => zoom(1 / 1.4, middle), '-': () => zoom(1.4, middle), ArrowLeft: () => pan(-width / 6), ArrowRight: () => pan(width / 6), ArrowUp: () => lift(-LANE * 3), ArrowDown: () => lift(LANE * 3), 0: () => { view.from = 0; view.to = span; paint(); }}[e.key];
  if (key) { e.preventDefault(); e.stopPropagation(); key(); }
});
document.querySelectorAll('.dot').forEach(dot => { dot.style.background = `var(--${dot.dataset.kind})`; });
// Small trees are open whole; of large ones the first levels are.
state.open.fill(0);
for (let i = 0; i < total; i++) if (total <= 800 || depth[i] < 2) state.open[i] = 1;
root.dataset.theme = window.matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
window.addEventListener('resize', () => { draw(true); paint(); });
refresh(); lay(); paint();
})();
