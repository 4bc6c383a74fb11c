/** The viewer page: connects the session, the player, the board's messages and the panes to the elements of index.html. */

import { Auth, takeSignInToken } from './auth.js';
import { AutoHide } from './auto-hide.js';
import { client, connection, requestedCamera, signInToken } from './bootstrap.js';
import { selectCamera } from './camera-choice.js';
import { Captures } from './captures.js';
import { element, write } from './elements.js';
import { Fallback } from './fallback.js';
import { Display } from './fullscreen.js';
import { BoardHistory } from './history.js';
import { i18n, languages, setLocale, t, translate } from './i18n.js';
import { boardNotice, isolate, sentence, talkerLabel } from './messages.js';
import { watchNetwork } from './network.js';
import { Overlay } from './overlay.js';
import { PageState } from './page-state.js';
import { Panel } from './panel.js';
import { Player } from './player.js';
import { SessionStats, setupTimes } from './session-stats.js';
import { Settings } from './settings.js';
import { listenToKeys } from './shortcuts.js';
import { SignInForm } from './sign-in.js';
import { StatsPanel } from './stats-panel.js';
import { BoardStatus } from './status.js';
import { TalkButton } from './talk-button.js';
import { Talker } from './talker.js';
import { Toasts } from './toasts.js';
import { Toolbar } from './toolbar.js';
import { ViewersPanel } from './viewers-panel.js';
import { Zoom } from './zoom.js';

/** @import { BoardEvent } from './control.js' */
/** @import { RejectedEvent } from './encoder-settings.js' */
/** @import { SelectionEvent } from './source-menus.js' */

/** How often statistics are read and shown: often enough to follow, slow enough to read. */
const STATS_INTERVAL_MS = 1_000;

translate(document);

const button = (/** @type {string} */ id) => element(id, HTMLButtonElement);
const part = (/** @type {string} */ id) => element(id, HTMLElement);
const playButton = button('play');
const accountRow = part('account');
const roleLabel = part('role');
const signOutButton = button('sign-out');
const video = element('video', HTMLVideoElement);

const state = new PageState(requestedCamera, signInToken);
const auth = new Auth(new URL('api/session', document.baseURI));
const signIn = new SignInForm(element('sign-in', HTMLFormElement), auth);
const toasts = new Toasts(part('toasts'));
const board = new BoardStatus(new URL('api/status', document.baseURI));
const player = new Player(video);
const captures = new Captures(client, toasts, () => currentCamera()?.name ?? state.requestedCamera ?? '');
const display = new Display(video);
const overlay = new Overlay();
const fallback = new Fallback(element('mjpeg', HTMLImageElement));
const zoom = new Zoom(part('player'), [video, fallback.image]);
const toolbar = new Toolbar();
const talker = new Talker(client, connection);
const talkButton = new TalkButton(button('talk'), talker, toasts);
const statsPanel = new StatsPanel(part('details-pane'));
const viewersPanel = new ViewersPanel(part('people-pane'), client);
const boardHistory = new BoardHistory(toasts, () => player.muted);
const settings = new Settings(part('settings-pane'), element('camera', HTMLSelectElement), client);
const panes = {
  history: boardHistory.pane,
  settings: { button: button('settings'), root: part('settings-pane'), title: 'buttons.settings.text' },
  people: { button: button('people'), root: part('people-pane'), title: 'buttons.people.text' },
  details: { button: button('details'), root: part('details-pane'), title: 'buttons.details.text' },
};
const panel = new Panel(part('panel'), part('panel-title'), button('panel-close'), Object.values(panes));
const autoHide = new AutoHide(part('player'), () => connection.state !== 'live' || panel.open !== null || talker.state !== 'idle' || boardHistory.active);

// The session: its stream goes to the player, its statistics come back.

function onSession() {
  const { session } = connection;
  const { control } = client;
  if (!session?.peer || !control || session === state.sessionStats?.session) return;
  endSession();
  const stats = new SessionStats(session, session.peer, control);
  state.sessionStats = stats;
  const attach = () => {
    player.attach(session.stream);
    if (state.sessionStats === stats) stats.watch(video);
  };
  session.addEventListener('track', attach);
  // The tracks may have arrived before this module was loaded.
  if (session.stream.getTracks().length > 0) attach();
}

function endSession() {
  state.endSession();
  captures.recorder.stop();
}

async function readStats() {
  const stats = state.sessionStats;
  if (stats && isConnected()) {
    await stats.read(panel.open === panes.details);
    if (state.sessionStats === stats) {
      state.stalledSince = document.hidden || boardHistory.active ? null : player.stalledSince(stats.stats?.video?.framesDecoded ?? 0);
    }
  }
  render();
  setTimeout(readStats, STATS_INTERVAL_MS);
}

function isConnected() {
  return connection.state === 'live' || connection.state === 'interrupted';
}

// Signing in and out.

async function authenticate() {
  const failure = state.signInToken === null ? null : await auth.signIn({ link: state.signInToken });
  await auth.refresh();
  if (state.signInToken !== null) {
    state.signInToken = null;
    onAuthChange();
  }
  if (!auth.signInRequired) board.refresh();
  if (!failure) return;
  if (auth.signInRequired) signIn.fail(failure);
  else toasts.show(sentence(failure.reason), true);
}

function onAuthChange() {
  // Until the board has answered a sign-in link, access has not been refused.
  if (state.signInToken !== null) return;
  signIn.show(auth.signInRequired);
  if (auth.signInRequired) {
    state.waitingForSignIn = true;
    panel.show(null);
    boardHistory.reset();
    board.stop();
    hangUp();
  } else if (state.waitingForSignIn) {
    state.waitingForSignIn = false;
    connection.start();
    board.refresh();
  }
  render();
}

// Rendering.

/** The camera being watched, or the one that would be. */
function currentCamera() {
  return board.camera(client.selected ?? state.requestedCamera);
}

const role = () => client.you?.role ?? auth.role;

/** Whether to show what only the board's operators can use: its devices and its configuration. */
const isOperator = () => role() !== 'viewer';

function render() {
  const camera = currentCamera();
  fallback.update(connection, state.requestedCamera, !auth.signInRequired && !document.hidden && !boardHistory.active);
  const situation = {
    state: connection.state,
    error: fallback.showing ? fallback.reason : connection.error,
    fallback: fallback.showing,
    endedByBoard: connection.endedByBoard,
    online: navigator.onLine,
    host: location.host,
    requestedCamera: state.requestedCamera,
    camera,
    status: board.value,
    isOperator: isOperator(),
    interruptedFor: performance.now() - connection.since,
  };
  const { signInRequired } = auth;
  overlay.show({ situation, connection, signInRequired, stalledSince: state.stalledSince, scale: zoom.scale, talker: talkerLabel(board.value, talker.state === 'talking') });
  settings.show(board.value, camera, client.selected ?? state.requestedCamera, !player.muted);
  renderToolbar();
  if (!signInRequired) boardHistory.show({ status: board.value, camera: camera?.name ?? null, role: role() });
  talkButton.show({ connected: isConnected() && !boardHistory.active, status: board.value, role: role() });
  display.keepAwake(connection.state === 'live');
  playButton.hidden = !(player.autoplayBlocked && isConnected());
  signOutButton.hidden = accountRow.hidden = !(auth.enabled && auth.role);
  write(roleLabel, auth.role ? t().people[auth.role] : '');
  if (panel.open === panes.details) statsPanel.show(panelData());
}

function renderToolbar() {
  toolbar.show({
    connected: isConnected(),
    running: isRunning(),
    boardReachable: client.connected && client.you !== null,
    noAudio: board.value?.audio?.state === 'off' || state.sessionStats?.session.stream.getAudioTracks().length === 0,
    muted: player.muted,
    captures,
    display,
    unread: viewersPanel.unread,
  });
}

function panelData() {
  const stats = state.sessionStats;
  return {
    live: connection.state === 'live',
    setup: setupTimes(state.sessionStats?.session.timing, player.firstFrameAt),
    stats: stats?.stats ?? null,
    latency: stats?.latency?.read() ?? null,
    controlRoundTrip: stats?.clock.roundTrip ?? null,
    muted: client.preferences.muted,
    camera: currentCamera(),
    status: board.value,
    isOperator: isOperator(),
    timeSeries: stats?.timeSeries ?? null, own: stats?.own ?? null,
  };
}

// What the user does.

/** Whether there is something to hang up: MJPEG goes on where WebRTC has failed for good. */
const isRunning = () => fallback.showing || (connection.state !== 'stopped' && connection.state !== 'failed');

function hangUp() {
  zoom.reset();
  player.detach();
  connection.stop();
}

function toggleMute() {
  if (toolbar.mute.disabled) return;
  player.toggleMute();
  // At once: the video element's event comes later.
  updateMedia();
}

/** Asks the board to stop sending what is neither seen nor heard nor recorded. */
function updateMedia() {
  const recording = captures.recorder.running;
  const muted = (player.muted || boardHistory.active) && !recording;
  const paused = (document.hidden || boardHistory.active) && !recording && !display.inPictureInPicture;
  // If this session does not accept it, the next one is asked again.
  if (client.preferences.muted !== muted) client.setPreferences({ muted }).catch(() => {});
  if (client.preferences.paused !== paused) client.setPreferences({ paused }).catch(() => {});
}

function takePhoto() {
  captures.takeSnapshot();
}

function toggleRecording() {
  captures.toggleRecording(state.sessionStats && isConnected() ? state.sessionStats.session.stream : null);
}

toolbar.mute.addEventListener('click', toggleMute);
toolbar.photo.addEventListener('click', takePhoto);
toolbar.record.addEventListener('click', toggleRecording);
toolbar.hangUp.addEventListener('click', () => (isRunning() ? hangUp() : connection.start()));
toolbar.pip.addEventListener('click', () => display.togglePictureInPicture());
toolbar.fullScreen.addEventListener('click', () => display.toggleFullscreen());
overlay.action.addEventListener('click', () => connection.start());
playButton.addEventListener('click', () => player.play());
overlay.resetZoom.addEventListener('click', () => zoom.reset());
signOutButton.addEventListener('click', () => auth.signOut());
settings.addEventListener('camera', (event) => {
  state.requestedCamera = /** @type {SelectionEvent} */ (event).value;
  selectCamera(state.requestedCamera);
});
settings.addEventListener('microphone', (event) => (/** @type {SelectionEvent} */ (event).value === '') !== player.muted && toggleMute());
settings.addEventListener('rejected', (event) => toasts.show(/** @type {RejectedEvent} */ (event).reason, true));
panel.addEventListener('change', () => {
  if (panel.open === panes.people) toasts.clear();
  viewersPanel.show();
  settings.open(panel.open === panes.settings);
  boardHistory.open(panel.open === panes.history);
  render();
});
const languageMenus = /** @type {NodeListOf<HTMLSelectElement>} */ (document.querySelectorAll('[data-languages]'));
for (const menu of languageMenus) {
  menu.replaceChildren(...languages().map(({ tag, name }) => new Option(name, tag, false, tag === t().tag)));
  menu.addEventListener('change', () => setLocale(menu.value));
}
i18n.addEventListener('change', () => {
  translate(document);
  for (const menu of languageMenus) menu.value = t().tag;
  viewersPanel.show();
  render();
});
listenToKeys({
  m: toggleMute,
  p: takePhoto,
  r: toggleRecording,
  t: () => panes.history.button.hidden || panel.toggle(panes.history),
  s: () => panel.toggle(panes.settings),
  c: () => panel.toggle(panes.people),
  i: () => panel.toggle(panes.details),
  w: () => toolbar.pip.disabled || display.togglePictureInPicture(),
  f: () => display.toggleFullscreen(),
  Escape: () => (boardHistory.active ? boardHistory.close() : panel.show(null)),
}, zoom, (key) => !auth.signInRequired && (!boardHistory.active || ['Escape', 't'].includes(key)));

// What the connection, the board and the browser report.

connection.addEventListener('session', onSession);
connection.addEventListener('change', () => {
  if (connection.session === null) client.detach();
  if (connection.state === 'live') board.refresh();
  if (connection.error?.status === 401) auth.signedOut();
  if (connection.state === 'waiting' || connection.state === 'failed') {
    endSession();
    if (!auth.signInRequired) board.refresh();
  }
  if (connection.state === 'stopped') endSession();
  render();
});
for (const source of [fallback, zoom, board, talker]) source.addEventListener('change', render);
// A browser's own controls, such as those of picture in picture, unmute too.
for (const source of [player, display, captures]) {
  source.addEventListener('change', () => {
    updateMedia();
    render();
  });
}
player.addEventListener('firstframe', render);
boardHistory.addEventListener('change', () => {
  if (!boardHistory.active) player.resume();
  updateMedia();
  render();
});
for (const source of [board, boardHistory]) source.addEventListener('unauthorized', () => auth.signedOut());
auth.addEventListener('change', onAuthChange);
client.addEventListener('change', () => {
  if (!client.control) board.resumePolling();
  if (client.jitterBufferTarget !== null) state.sessionStats?.session.setJitterBufferTarget(client.jitterBufferTarget);
  render();
});
client.addEventListener('status', () => client.status && board.push(client.status));
client.addEventListener('camera.changed', (event) => {
  const { camera, selected } = /** @type {BoardEvent} */ (event).params;
  if (selected) client.selected = camera;
  render();
});
client.addEventListener('notice', (event) => {
  const notice = /** @type {BoardEvent} */ (event).params;
  toasts.show(boardNotice(notice), notice.level === 'warning');
});
client.addEventListener('message', () => {
  const last = client.messages.at(-1);
  if (last && !last.you && panel.open !== panes.people) toasts.show(t().people.chatLine(isolate(last.from) || t().people.unnamed, last.text));
  render();
});
watchNetwork((moved) => connection.onNetworkChange(moved));
addEventListener('hashchange', () => {
  state.signInToken = takeSignInToken();
  if (state.signInToken === null) return;
  state.waitingForSignIn = !connection.session;
  authenticate();
});
document.addEventListener('visibilitychange', () => {
  updateMedia();
  render();
  if (document.hidden) return;
  if (auth.signInRequired) {
    // The user may have signed in on another page of this browser.
    auth.refresh();
    return;
  }
  connection.retryNow();
  board.refresh();
});
addEventListener('pagehide', () => {
  state.reconnectOnShow = connection.state !== 'stopped';
  connection.stop({ leaving: true });
});
addEventListener('pageshow', ({ persisted }) => {
  if (persisted && state.reconnectOnShow) connection.start();
});

/** For tests and the curious: read only. */
Object.defineProperty(window, 'porthole', {
  value: Object.freeze({
    get state() {
      return auth.signInRequired ? 'signed-out' : connection.state;
    },
    stats() {
      const { live, status, camera, stats, timeSeries, isOperator, ...rest } = panelData();
      return structuredClone({ state: connection.state, clock: state.sessionStats?.clock.best ?? null, ...rest, ...stats });
    },
  }),
});

onSession();
if (client.status) board.push(client.status);
authenticate();
autoHide.poke();
updateMedia();
readStats();
