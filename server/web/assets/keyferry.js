// Makes the pages live. Everything works without it: this only saves reloads and clicks.

const here = () => document.body.dataset.refresh ?? location.href;

/** What is pressed must still be there when it is let go, or the click is lost: nothing is replaced meanwhile. */
let pressed = false, missed = false, letting = 0;
const press = () => { clearTimeout(letting); pressed = true; };
const letGo = () => {
  clearTimeout(letting);
  letting = setTimeout(() => { // after the click
    pressed = false;
    if (missed) refresh();
  }, 0);
};
for (const type of ['pointerdown', 'keydown']) addEventListener(type, press, true);
for (const type of ['pointerup', 'pointercancel', 'keyup']) addEventListener(type, letGo, true);
addEventListener('blur', letGo); // the window's own: what loses the focus to the press has let go of nothing

const focusable = (part) => [...part.querySelectorAll('a[href], button, input, select, textarea, summary')];

/** Who was at a button or a link goes on there, if it still is one of that name. */
function replacePart(old, fresh) {
  const at = focusable(old).indexOf(document.activeElement);
  const words = document.activeElement.textContent;
  old.replaceWith(document.adoptNode(fresh));
  const now = at < 0 ? null : focusable(fresh)[at];
  if (now?.textContent === words) now.focus({ preventScroll: true });
}

/** Fetches this page again and puts the parts marked data-part="name" in place of the present ones. */
function refresh() {
  missed = false;
  const url = here();
  const request = new XMLHttpRequest();
  request.open('GET', url);
  request.responseType = 'document'; // parsed by the browser as an inert document: no string ever becomes HTML here
  request.onload = () => {
    if (request.status !== 200 || !request.response || url !== here()) return; // meanwhile something else is looked for
    if (new URL(request.responseURL).pathname.startsWith('/sign-in')) { location.reload(); return; }
    if (pressed) { missed = true; return; }
    for (const fresh of request.response.querySelectorAll('[data-part]')) {
      const old = document.querySelector(`[data-part="${fresh.dataset.part}"]`);
      if (!old || old.contains(document.activeElement) && document.activeElement.matches('input, textarea, summary')) continue;
      localTimes(fresh);
      if (!old.isEqualNode(fresh)) replacePart(old, fresh);
    }
  };
  request.send();
}

/** Times arrive in UTC; people think in their own. */
function localTimes(root = document) {
  const long = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'medium' });
  const short = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: 'medium' });
  for (const element of root.querySelectorAll('time[datetime]:not([data-local])')) {
    const time = new Date(element.dateTime);
    if (Number.isNaN(time.getTime())) continue;
    element.title = element.textContent;
    element.textContent = ('short' in element.dataset ? short : long).format(time);
    element.dataset.local = '';
  }
}

/** Follows the page's event stream while the page can be seen (a browser allows only six streams to one server). */
function follow(url) {
  let source = null, timer = 0;
  // A page that is costly to make is fetched at most once in its data-pace, however much happens.
  const pace = Number(document.body.dataset.pace ?? 0);
  const soon = () => {
    if (pace && timer) return;
    clearTimeout(timer);
    timer = setTimeout(() => { timer = 0; refresh(); }, pace || 40);
  };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(url);
    source.onopen = soon; // whatever happened before the stream stood
    source.addEventListener('change', soon);
  };
  const close = () => { source?.close(); source = null; };
  document.addEventListener('visibilitychange', () => { if (document.hidden) close(); else open(); });
  addEventListener('pagehide', close);
  addEventListener('pageshow', open);
  open();
}

/** Search results while typing. */
function liveSearch(form) {
  const input = form.querySelector('input[type="search"]');
  let timer = 0;
  const search = (pause) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const url = new URL(form.action, location.href);
      for (const [name, value] of new FormData(form)) if (value.trim()) url.searchParams.set(name, value.trim());
      history.replaceState(null, '', url);
      refresh();
    }, pause);
  };
  input.addEventListener('input', () => search(220));
  form.addEventListener('change', (event) => { if (event.target !== input) search(0); });
}

/** A second click on Save while the first is under way does nothing (the server would not change twice either). */
function submitOnce(form) {
  let sent = false;
  form.addEventListener('submit', (event) => {
    if (sent) { event.preventDefault(); return; }
    sent = true;
    const button = event.submitter ?? form.querySelector('button[type="submit"]');
    button?.setAttribute('aria-disabled', 'true');
  });
  addEventListener('pageshow', () => { sent = false; form.querySelectorAll('[aria-disabled]').forEach((button) => button.removeAttribute('aria-disabled')); });
}

/** "Show" buttons of typed passwords. */
function showToggle(button) {
  const input = document.getElementById(button.getAttribute('aria-controls'));
  button.hidden = false;
  button.addEventListener('click', () => {
    const show = input.type === 'password';
    input.type = show ? 'text' : 'password';
    button.setAttribute('aria-pressed', String(show));
  });
  input.form.addEventListener('submit', () => { input.type = 'password'; });
}

/** A menu closes on Escape, and when somebody goes on elsewhere. */
function menu(details) {
  const close = () => { details.open = false; };
  details.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !details.open) return;
    close();
    details.querySelector('summary').focus();
  });
  details.addEventListener('focusout', ({ relatedTarget }) => { if (relatedTarget && !details.contains(relatedTarget)) close(); });
  addEventListener('pointerdown', ({ target }) => { if (!details.contains(target)) close(); });
}

/** What is shown once is gone with the page, also where the browser keeps the page for the back button. */
function once(element) { addEventListener('pagehide', () => element.remove()); }

localTimes();
const stream = document.body.dataset.stream;
if (stream) follow(stream);
document.querySelectorAll('form[data-live-search]').forEach(liveSearch);
document.querySelectorAll('form[method="post"]:not([data-download])').forEach(submitOnce); // a download leaves the page as it is
document.querySelectorAll('details.nav-more').forEach(menu);
document.querySelectorAll('button[data-show]').forEach(showToggle);
document.querySelectorAll('[data-once]').forEach(once);
document.querySelectorAll('button[data-print]').forEach((button) => { button.hidden = false; button.addEventListener('click', () => print()); });
