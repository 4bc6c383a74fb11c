/** The viewer page: joins the connection, the player, the board's words and the panes to the elements of index.html. */

import { Access, takeLink } from './auth.js';
import { element, write } from './elements.js';
import { FigureTable } from './stats-panel.js';
import { asked, connection, endpoint, link as opened, viewing } from './bootstrap.js';
import { language, languages, speak, text, translate } from './i18n.js';
import { Measuring } from './session-stats.js';
import { Panel } from './panel.js';
import { People } from './viewers-panel.js';
import { Player } from './player.js';
import { Quiet } from './auto-hide.js';
import { Screen } from './fullscreen.js';
import { Settings } from './settings.js';
import { listenToKeys } from './shortcuts.js';
import { SignInForm } from './sign-in.js';
import { Stage } from './overlay.js';
import { BoardStatus } from './status.js';
import { Takes } from './captures.js';
import { Toasts } from './toasts.js';
import { Toolbar } from './toolbar.js';
import { sentence } from './messages.js';
import { Zoom } from './zoom.js';

/** @import { BoardEvent } from './control.js' */
/** @import { ChosenEvent } from './source-menus.js' */

/** How often figures are read and shown: often enough to follow, seldom enough to be read. */
const FIGURES_EVERY_MS = 1_000;

translate(document);

const button = (/** @type {string} */ id) => element(id, HTMLButtonElement);
const part = (/** @type {string} */ id) => element(id, HTMLElement);
const playButton = button('play');
const accountRow = part('account');
const roleWord = part('role');
const signOutButton = button('sign-out');
const video = element('video', HTMLVideoElement);

/** The camera asked for, null for the first. */
let wanted = asked;
/** What signs in and was not used yet. */
let link = opened;
/** Whether the page waits for somebody to sign in. */
let shut = link !== null;
/** Whether somebody has chosen whether they hear: until then sound flows unheard, so that the first tap sounds at once. */
let soundChosen = false;
/** @type {Measuring | null} */
let measuring = null;
/** @type {Date | null} */
let stalledSince = null;

const access = new Access(new URL('api/session', document.baseURI));
const signIn = new SignInForm(element('sign-in', HTMLFormElement), access);
const toasts = new Toasts(part('toasts'));
const board = new BoardStatus(new URL('api/status', document.baseURI));
const player = new Player(video);
const takes = new Takes(viewing, toasts, () => camera()?.name ?? wanted ?? '');
const screen = new Screen(video);
const stage = new Stage();
const zoom = new Zoom(part('stage'), video);
const toolbar = new Toolbar();
const figures = new FigureTable(part('details-pane'));
const people = new People(part('people-pane'), viewing);
const settings = new Settings(part('settings-pane'), element('camera', HTMLSelectElement), viewing);
const panes = {
  settings: { button: button('settings'), root: part('settings-pane'), title: 'buttons.settings.text' },
  people: { button: button('people'), root: part('people-pane'), title: 'buttons.people.text' },
  details: { button: button('details'), root: part('details-pane'), title: 'buttons.details.text' },
};
const panel = new Panel(part('panel'), part('panel-title'), button('panel-close'), Object.values(panes));
const quiet = new Quiet(part('stage'), () => connection.state !== 'live' || panel.open !== null);

// The session: pictures into the player, figures out of it.

function followSession() {
  const { session } = connection;
  const { control } = viewing;
  if (!session?.peer || !control || session === measuring?.session) return;
  endMeasuring();
  const mine = new Measuring(session, session.peer, control);
  measuring = mine;
  const watch = () => {
    player.attach(session.stream);
    if (measuring === mine) mine.watch(video);
  };
  session.addEventListener('track', watch);
  // This page may have been loaded more slowly than the picture came.
  if (session.stream.getTracks().length > 0) watch();
}

function endMeasuring() {
  measuring?.stop();
  measuring = null;
  stalledSince = null;
  takes.recorder.stop();
}

async function readFigures() {
  const mine = measuring;
  if (mine && isConnected()) {
    await mine.read();
    if (measuring === mine) stalledSince = document.hidden ? null : player.stalledSince(mine.figures?.video?.framesDecoded ?? 0);
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
  const failure = link === null ? null : await access.signIn({ link });
  await access.ask();
  if (link !== null) {
    link = null;
    followAccess();
  }
  if (!access.closed) board.refresh();
  if (!failure) return;
  if (access.closed) signIn.tell(failure);
  else toasts.say(sentence(failure.reason), true);
}

function followAccess() {
  // Until a link has been answered nobody has been refused.
  if (link !== null) return;
  signIn.show(access.closed);
  if (access.closed) {
    shut = true;
    panel.show(null);
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

/** The camera that is watched, or would be. */
function camera() {
  return board.camera(viewing.selected ?? wanted);
}

function render() {
  const seen = camera();
  const situation = {
    state: connection.state,
    error: connection.error,
    saidGoodbye: connection.saidGoodbye,
    online: navigator.onLine,
    host: location.host,
    wanted,
    camera: seen,
    status: board.value,
  };
  stage.show({ situation, connection, closed: access.closed, stalledSince, scale: zoom.scale });
  settings.show(board.value, seen, viewing.selected ?? wanted, !player.muted);
  renderToolbar();
  screen.keepAwake(connection.state === 'live');
  playButton.hidden = !(player.blocked && isConnected());
  signOutButton.hidden = accountRow.hidden = !(access.needed && access.role);
  write(roleWord, access.role ? text().people[access.role] : '');
  if (panel.open === panes.details) figures.show(facts());
}

function renderToolbar() {
  const { state } = connection;
  toolbar.show({
    connected: isConnected(),
    running: state !== 'stopped' && state !== 'failed',
    present: viewing.present && viewing.you !== null,
    silent: board.value?.audio?.state === 'off' || measuring?.session.stream.getAudioTracks().length === 0,
    muted: player.muted,
    takes,
    screen,
    unread: people.unread,
  });
}

function facts() {
  return {
    live: connection.state === 'live',
    setup: setup(),
    figures: measuring?.figures ?? null,
    latency: measuring?.latency?.read() ?? null,
    controlRoundTrip: measuring?.clock.roundTrip ?? null,
    camera: camera(),
    status: board.value,
    history: measuring?.history ?? null,
  };
}

// What is touched.

function toggleRunning() {
  if (connection.state === 'stopped' || connection.state === 'failed') connection.start();
  else hangUp();
}

function hangUp() {
  zoom.reset();
  player.detach();
  connection.stop();
}

function toggleSound() {
  if (toolbar.sound.disabled) return;
  player.toggleSound();
  soundChosen = true;
  followSound();
}

/** Sound that is neither heard nor recorded is not sent. */
function followSound() {
  const muted = soundChosen && player.muted && !takes.recorder.running;
  // The next session hears of it where this one does not take it.
  if (viewing.wishes.muted !== muted) viewing.wish({ muted }).catch(() => {});
}

function takePhoto() {
  takes.photo();
}

function toggleRecording() {
  takes.toggleRecording(measuring && isConnected() ? measuring.session.stream : null);
}

/** @param {string} chosen */
async function chooseCamera(chosen) {
  wanted = chosen;
  const address = new URL(location.href);
  address.searchParams.set('camera', chosen);
  history.replaceState(null, '', address);
  connection.endpoint = endpoint(chosen);
  if (viewing.present) {
    try {
      await viewing.select(chosen);
      return;
    } catch {
      // Another session can do what this one cannot: it agrees on the format that the camera gives.
    }
  }
  connection.restart(endpoint(chosen));
}

toolbar.sound.addEventListener('click', toggleSound);
toolbar.photo.addEventListener('click', takePhoto);
toolbar.record.addEventListener('click', toggleRecording);
toolbar.hangUp.addEventListener('click', toggleRunning);
toolbar.window.addEventListener('click', () => screen.toggleWindow());
toolbar.fullScreen.addEventListener('click', () => screen.toggleFull());
stage.action.addEventListener('click', () => connection.start());
playButton.addEventListener('click', () => player.play());
stage.whole.addEventListener('click', () => zoom.reset());
signOutButton.addEventListener('click', () => access.signOut());
settings.addEventListener('camera', (event) => chooseCamera(/** @type {ChosenEvent} */ (event).value));
settings.addEventListener('microphone', (event) => (/** @type {ChosenEvent} */ (event).value === '') !== player.muted && toggleSound());
settings.addEventListener('refused', (event) => toasts.say(/** @type {import('./encoder-settings.js').RefusedEvent} */ (event).why, true));
panel.addEventListener('change', () => {
  if (panel.open === panes.people) toasts.clear();
  people.show();
  settings.open(panel.open === panes.settings);
  render();
});
for (const menu of /** @type {NodeListOf<HTMLSelectElement>} */ (document.querySelectorAll('[data-languages]'))) {
  menu.replaceChildren(...languages().map(({ tag, name }) => new Option(name, tag, false, tag === text().tag)));
  menu.addEventListener('change', () => speak(menu.value));
}
language.addEventListener('change', () => {
  translate(document);
  for (const menu of document.querySelectorAll('[data-languages]')) /** @type {HTMLSelectElement} */ (menu).value = text().tag;
  people.show();
  render();
});
listenToKeys({
  m: toggleSound,
  p: takePhoto,
  r: toggleRecording,
  s: () => panel.toggle(panes.settings),
  c: () => panel.toggle(panes.people),
  i: () => panel.toggle(panes.details),
  w: () => toolbar.window.disabled || screen.toggleWindow(),
  f: () => screen.toggleFull(),
  Escape: () => panel.show(null),
}, zoom, () => !access.closed);

// What happens by itself.

connection.addEventListener('session', followSession);
connection.addEventListener('change', () => {
  if (connection.session === null) viewing.leave();
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
screen.addEventListener('change', render);
zoom.addEventListener('change', render);
board.addEventListener('change', render);
board.addEventListener('refused', () => access.refused());
access.addEventListener('change', followAccess);
takes.addEventListener('change', () => {
  followSound();
  render();
});
viewing.addEventListener('change', () => {
  if (!viewing.control) board.alone();
  if (viewing.held !== null) measuring?.session.hold(viewing.held);
  render();
});
viewing.addEventListener('status', () => viewing.status && board.take(viewing.status));
viewing.addEventListener('camera.changed', (event) => {
  const { camera, selected } = /** @type {BoardEvent} */ (event).params;
  if (selected) viewing.selected = camera;
  render();
});
viewing.addEventListener('notice', (event) => {
  const { level, text } = /** @type {BoardEvent} */ (event).params;
  toasts.say(text, level === 'warning');
});
viewing.addEventListener('message', () => {
  const last = viewing.messages.at(-1);
  if (last && !last.you && panel.open !== panes.people) toasts.say(text().people.said(last.from || text().people.unnamed, last.text));
  render();
});
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
      const { live, status, camera, figures, history, ...rest } = facts();
      return structuredClone({ state: connection.state, clock: measuring?.clock.best ?? null, ...rest, ...figures });
    },
  }),
});

followSession();
if (viewing.status) board.take(viewing.status);
enter();
quiet.stir();
readFigures();
