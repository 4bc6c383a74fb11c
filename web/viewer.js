/** The viewer page: joins the connection, the player and the words to the elements of index.html. */

import { Access, takeLink } from './access.js';
import { BoardClock } from './clock.js';
import { Connection } from './connection.js';
import { Control } from './control.js';
import { LatencyMeter } from './latency.js';
import { Notice } from './notice.js';
import { Panel } from './panel.js';
import { Player } from './player.js';
import { SignInForm } from './sign-in.js';
import { StatsReader } from './stats.js';
import { BoardStatus } from './status.js';
import { isAway, notice, patternWords, remarks, STATE_WORDS } from './words.js';

/** How often figures are read and shown: often enough to follow, seldom enough to be read. */
const FIGURES_EVERY_MS = 1_000;

/** After so long without a touch, a key or the pointer the controls leave the picture. */
const QUIET_AFTER_MS = 3_500;

/**
 * The element of this id in index.html.
 * @template {Element} T
 * @param {string} id
 * @param {{new (): T}} type
 * @returns {T}
 */
function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`);
  return found;
}

const name = element('name', HTMLElement);
const chooser = element('chooser', HTMLLabelElement);
const cameraSelect = element('camera', HTMLSelectElement);
const stateWord = element('state', HTMLElement);
const pattern = element('pattern', HTMLElement);
const remark = element('remark', HTMLElement);
const noticeBox = element('notice', HTMLElement);
const noticeAction = element('notice-action', HTMLButtonElement);
const playButton = element('play', HTMLButtonElement);
const soundButton = element('sound', HTMLButtonElement);
const hangUpButton = element('hang-up', HTMLButtonElement);
const detailsButton = element('details', HTMLButtonElement);
const fullScreenButton = element('full-screen', HTMLButtonElement);
const panelBox = element('panel', HTMLElement);
const panelTitle = element('panel-title', HTMLElement);
const panelClose = element('panel-close', HTMLButtonElement);
const accountRow = element('account', HTMLElement);
const roleWord = element('role', HTMLElement);
const signOutButton = element('sign-out', HTMLButtonElement);
const announcement = element('announcement', HTMLElement);
const video = element('video', HTMLVideoElement);

/** The camera asked for by the address, null for the first. */
let wanted = new URLSearchParams(location.search).get('camera');

/** What signs in, where this page was opened by such a link. */
let link = takeLink();
/** Whether the page waits for somebody to sign in. */
let shut = link !== null;

const connection = new Connection(endpoint());
// Before everything else: the offer is on its way while the rest is made.
if (link === null) connection.start();

const access = new Access(new URL('api/session', document.baseURI));
const signIn = new SignInForm(element('sign-in', HTMLFormElement), access);
const notices = new Notice(noticeBox);
const board = new BoardStatus(new URL('api/status', document.baseURI));
const player = new Player(video);
const panel = new Panel(panelBox);

/**
 * What measures the present session.
 * @typedef {object} Measuring
 * @property {import('./whep.js').WhepSession} session
 * @property {BoardClock} clock
 * @property {StatsReader} stats
 * @property {LatencyMeter | null} latency
 * @property {import('./stats.js').Figures | null} figures
 */
/** @type {Measuring | null} */
let measuring = null;
/** @type {Date | null} */
let stalledSince = null;

function endpoint() {
  const path = wanted === null ? 'whep' : `whep/${encodeURIComponent(wanted)}`;
  return new URL(path, document.baseURI);
}

// The session: pictures into the player, figures out of it.

function followSession() {
  const { session } = connection;
  if (!session?.peer || !session.channel || session === measuring?.session) return;
  endMeasuring();
  const clock = new BoardClock(new Control(session.channel));
  const mine = { session, clock, stats: new StatsReader(session.peer), latency: null, figures: null };
  measuring = mine;
  session.addEventListener('track', () => {
    player.attach(session.stream);
    const receiver = session.peer?.getReceivers().find(({ track }) => track.kind === 'video');
    if (receiver && measuring === mine) measuring.latency ??= new LatencyMeter(video, receiver, clock);
  });
}

function endMeasuring() {
  measuring?.clock.stop();
  measuring?.latency?.stop();
  measuring = null;
  stalledSince = null;
}

async function readFigures() {
  const mine = measuring;
  if (mine && isConnected()) {
    mine.figures = await mine.stats.read();
    const { video: picture } = mine.figures;
    if (measuring === mine) stalledSince = document.hidden ? null : player.stalledSince(picture?.framesDecoded ?? 0);
  }
  render();
  setTimeout(readFigures, FIGURES_EVERY_MS);
}

function isConnected() {
  return connection.state === 'live' || connection.state === 'interrupted';
}

/** Milliseconds from the sending of the offer. */
function setup() {
  const { posted, answered, connected } = measuring?.session.timing ?? { posted: null, answered: null, connected: null };
  const since = (/** @type {number | null} */ at) => (at === null || posted === null ? null : at - posted);
  return { answered: since(answered), connected: since(connected), firstFrame: since(measuring ? player.firstFrameAt : null) };
}

// Who may watch.

async function enter() {
  if (link === null) {
    await access.ask();
  } else {
    await signIn.follow(link);
    link = null;
    await access.ask();
    followAccess();
  }
  if (!access.closed) board.refresh();
}

function followAccess() {
  // Until a link has been answered nobody has been refused.
  if (link !== null) return;
  signIn.show(access.closed);
  if (access.closed) {
    shut = true;
    openPanel(false);
    board.stop();
    hangUp();
  } else if (shut) {
    shut = false;
    connection.start();
    board.refresh();
  }
  render();
}

// What is seen.

function render() {
  const camera = board.camera(wanted);
  const situation = {
    state: connection.state,
    error: connection.error,
    saidGoodbye: connection.saidGoodbye,
    online: navigator.onLine,
    host: location.host,
    wanted,
    camera,
    status: board.value,
  };
  const words = access.closed ? null : notice(situation);
  const notes = access.closed ? [] : remarks(situation, stalledSince);
  const state = access.closed ? 'signed-out' : isAway(situation) ? 'away' : connection.state;

  document.body.dataset.state = state;
  stateWord.textContent = STATE_WORDS[state];
  renderCameras(camera);
  show(pattern, isConnected() ? patternWords(camera) : '');
  show(remark, words ? '' : notes.join('. '));
  renderNotice(words);
  renderControls();
  playButton.hidden = !(player.blocked && isConnected());
  if (!panelBox.hidden) panel.show(facts(camera));
  announce(words ? `${words.title}. ${words.text}` : [STATE_WORDS[state], pattern.textContent, ...notes].filter(Boolean).join('. '));
}

/** @param {import('./words.js').Words | null} words */
function renderNotice(words) {
  const { state } = connection;
  noticeBox.classList.toggle('first', connection.error === null);
  const seconds = Math.max(1, Math.ceil((connection.due - performance.now()) / 1000));
  const again = state === 'connecting' && connection.error ? 'Connecting' : '';
  notices.show(words, state === 'waiting' ? `Next attempt in ${seconds} s` : again);
  if (!words) return;
  const away = state === 'connecting' || state === 'live';
  if (away && document.activeElement === noticeAction) hangUpButton.focus();
  noticeAction.classList.toggle('away', away);
  noticeAction.textContent = { stopped: 'Start', waiting: 'Try now' }[/** @type {string} */ (state)] ?? 'Try again';
}

function renderControls() {
  const off = board.value?.audio?.state === 'off' || measuring?.session.stream.getAudioTracks().length === 0;
  const silent = isConnected() && off;
  label(soundButton, player.muted || silent ? 'muted' : 'sound', silent ? 'No sound' : player.muted ? 'Unmute' : 'Mute');
  soundButton.disabled = silent;
  soundButton.classList.toggle('wanted', !silent && player.muted && isConnected());

  const running = connection.state !== 'stopped' && connection.state !== 'failed';
  label(hangUpButton, running ? 'hang-up' : 'start', running ? 'Hang up' : 'Start');
  hangUpButton.classList.toggle('ends', running);

  signOutButton.hidden = accountRow.hidden = !(access.needed && access.role);
  roleWord.textContent = access.role;
}

/** @param {import('./status.js').Camera | null} camera */
function renderCameras(camera) {
  const names = board.value?.cameras.map((camera) => camera.name) ?? [];
  // While the board is away its cameras are still known by name.
  if (board.value) {
    chooser.hidden = names.length < 2;
    if ([...cameraSelect.options].map(({ value }) => value).join('\n') !== names.join('\n')) {
      cameraSelect.replaceChildren(...names.map((name) => new Option(name, name)));
    }
    if (document.activeElement !== cameraSelect) cameraSelect.value = wanted ?? names[0] ?? '';
  }
  const shown = camera?.name ?? wanted ?? name.textContent ?? '';
  name.textContent = shown;
  name.hidden = !chooser.hidden;
  document.title = shown ? `${shown} – porthole` : 'porthole';
  video.setAttribute('aria-label', shown ? `Live picture of ${shown}` : 'Live picture');
}

/** @param {import('./status.js').Camera | null} camera */
function facts(camera) {
  return {
    live: connection.state === 'live',
    setup: setup(),
    figures: measuring?.figures ?? null,
    latency: measuring?.latency?.read() ?? null,
    controlRoundTrip: measuring?.clock.roundTrip ?? null,
    camera,
    status: board.value,
  };
}

/**
 * @param {HTMLElement} place
 * @param {string} text Empty: the place is hidden.
 */
function show(place, text) {
  place.hidden = text === '';
  if (place.textContent !== text) place.textContent = text;
}

/**
 * @param {HTMLButtonElement} button
 * @param {string} icon
 * @param {string} text
 */
function label(button, icon, text) {
  button.querySelector('use')?.setAttribute('href', `#icon-${icon}`);
  const words = button.querySelector('span');
  if (words && words.textContent !== text) words.textContent = text;
}

/** @param {string} text Read out by a screen reader, once. */
function announce(text) {
  if (announcement.textContent !== text) announcement.textContent = text;
}

// What is touched.

function toggleRunning() {
  if (connection.state === 'stopped' || connection.state === 'failed') connection.start();
  else hangUp();
}

function hangUp() {
  player.detach();
  connection.stop();
}

function togglePanel() {
  openPanel(Boolean(panelBox.hidden));
}

/** @param {boolean} open */
function openPanel(open) {
  if (panelBox.hidden === !open) return;
  const hadFocus = panelBox.contains(document.activeElement);
  panelBox.hidden = !open;
  detailsButton.setAttribute('aria-expanded', String(open));
  if (open) panelTitle.focus({ preventScroll: true });
  else if (hadFocus) detailsButton.focus();
  render();
}

/** On the iPhone only the video itself can fill the screen, through a call of its own. */
const phoneVideo = /** @type {HTMLVideoElement & {webkitEnterFullscreen?: () => void}} */ (video);

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (document.fullscreenEnabled) document.documentElement.requestFullscreen().catch(() => {});
  else phoneVideo.webkitEnterFullscreen?.();
}

/** @type {Record<string, () => void>} */
const KEYS = {
  m: () => soundButton.disabled || player.toggleSound(),
  i: togglePanel,
  f: toggleFullScreen,
  Escape: () => openPanel(false),
};

/** @type {ReturnType<typeof setTimeout> | undefined} */
let quietTimer;

/** Shows the controls, and hides them again when nothing more happens. */
function stir() {
  document.body.classList.remove('quiet');
  clearTimeout(quietTimer);
  quietTimer = setTimeout(() => {
    const inUse = document.querySelector('.stage :focus-visible') !== null || document.activeElement === cameraSelect;
    if (connection.state !== 'live' || !panelBox.hidden || inUse) stir();
    else document.body.classList.add('quiet');
  }, QUIET_AFTER_MS);
}

soundButton.addEventListener('click', () => player.toggleSound());
hangUpButton.addEventListener('click', toggleRunning);
noticeAction.addEventListener('click', () => connection.start());
playButton.addEventListener('click', () => player.play());
detailsButton.addEventListener('click', togglePanel);
panelClose.addEventListener('click', () => openPanel(false));
signOutButton.addEventListener('click', () => access.signOut());
fullScreenButton.addEventListener('click', toggleFullScreen);
fullScreenButton.hidden = !document.fullscreenEnabled && !phoneVideo.webkitEnterFullscreen;
cameraSelect.addEventListener('change', () => {
  wanted = cameraSelect.value;
  const address = new URL(location.href);
  address.searchParams.set('camera', wanted);
  history.replaceState(null, '', address);
  connection.restart(endpoint());
});
document.addEventListener('keydown', (event) => {
  stir();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === cameraSelect || access.closed) return;
  KEYS[event.key]?.();
});
for (const kind of ['pointermove', 'pointerdown', 'focusin']) document.addEventListener(kind, stir, { passive: true });

// What happens by itself.

connection.addEventListener('session', followSession);
connection.addEventListener('change', () => {
  if (connection.state === 'live') board.refresh();
  if (connection.error?.status === 401) access.refused();
  if (connection.state === 'waiting' || connection.state === 'failed') {
    endMeasuring();
    if (!access.closed) board.refresh();
  }
  if (connection.state === 'stopped') endMeasuring();
  render();
});
player.addEventListener('change', render);
player.addEventListener('firstframe', render);
board.addEventListener('change', render);
board.addEventListener('refused', () => access.refused());
access.addEventListener('change', followAccess);
addEventListener('online', () => connection.reroute());
/** Chromium tells of a change from one network to another too, where `online` stays silent. */
const network = /** @type {Navigator & {connection?: EventTarget}} */ (navigator).connection;
network?.addEventListener('change', () => connection.reroute());
addEventListener('hashchange', () => {
  link = takeLink();
  if (link === null) return;
  shut = !connection.session;
  enter();
});
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  if (access.closed) {
    // Somebody may have signed in on another page of this browser.
    access.ask();
    return;
  }
  connection.wake();
  board.refresh();
});
let comesBack = false;
addEventListener('pagehide', () => {
  comesBack = connection.state !== 'stopped';
  connection.stop({ leaving: true });
});
addEventListener('pageshow', ({ persisted }) => {
  if (persisted && comesBack) connection.start();
});

/** For tests and curious people: to look at, not to steer. */
Object.defineProperty(window, 'porthole', {
  value: Object.freeze({
    get state() {
      return access.closed ? 'signed-out' : connection.state;
    },
    stats() {
      const { live, status, camera, figures, ...rest } = facts(board.camera(wanted));
      return structuredClone({ state: connection.state, clock: measuring?.clock.best ?? null, ...rest, ...figures });
    },
  }),
});

followSession();
enter();
stir();
readFigures();
