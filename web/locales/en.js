/**
 * What the page says, in English: plain texts, and functions where something has its place in a sentence. When which of it is
 * said does not belong here. `locales/ko.js` has the same in Korean.
 */

const english = {
  tag: 'en',
  name: 'English',

  /** Written into index.html by `data-text`, `data-label` (aria-label) and `data-hint` (title). */
  page: {
    video: 'Live picture',
    videoFrom: (/** @type {string} */ camera) => `Live picture of ${camera}`,
    camera: 'Camera',
    language: 'Language',
    advice: 'What helps',
    tried: 'What was tried',
    signIn: 'Sign in to watch',
    password: 'Password',
    showPassword: 'Show the password',
    submit: 'Sign in',
    wait: (/** @type {number} */ seconds) => `Wait ${seconds} s`,
    play: 'Play',
    playLabel: 'Play the picture',
    controls: 'Controls',
    close: 'Close',
    closeHint: 'Close (Escape)',
    resetZoom: 'Show the whole picture',
    zoomed: (/** @type {string} */ times) => `${times}×`,
    zoomedLabel: (/** @type {string} */ zoomed) => `${zoomed}, show the whole picture`,
  },

  buttons: {
    mute: { on: 'Mute', off: 'Unmute', none: 'No sound', hint: 'Sound on or off (M)' },
    photo: { text: 'Photo', busy: 'Fetching', hint: 'Take a photo in the camera’s full size (P)' },
    record: { text: 'Record', hint: 'Record picture and sound in this browser (R)', stop: (/** @type {string} */ time) => `Stop ${time}` },
    hangUp: { text: 'Hang up', start: 'Start', hint: 'End or start the connection' },
    settings: { text: 'Settings', hint: 'Camera, quality and picture (S)' },
    people: { text: 'People', hint: 'Who watches, and what they say (C)', unread: (/** @type {number} */ count) => `People, ${count} new` },
    details: { text: 'Details', hint: 'Figures of the connection (I)' },
    pip: { text: 'Window', hint: 'Picture in a window of its own (W)' },
    fullScreen: { text: 'Full screen', hint: 'Full screen on or off (F)' },
  },

  settings: {
    source: 'Source',
    microphone: 'Microphone',
    noAudio: 'No sound',
    quality: 'Quality for everybody',
    size: 'Size',
    rate: 'Pictures a second',
    bitrate: 'Bitrate',
    latency: 'Latency for you',
    low: 'Low: what happens is seen at once',
    smooth: 'Smooth: waits so that nothing stutters',
    controls: 'Picture of the camera',
    noControls: 'This camera has nothing to set.',
    reset: 'Reset',
    resetOf: (/** @type {string} */ control) => `Reset ${control}`,
    resetAll: 'Reset all',
    run: 'Carry out',
    operatorsOnly: 'Only operators change what everybody sees. You are signed in as a viewer.',
    privacy: 'Privacy',
    privacySwitch: 'Camera and microphone off for everybody',
    page: 'This page',
  },

  people: {
    watching: 'Who watches',
    count: (/** @type {number} */ count, /** @type {number} */ operators) =>
      `${count === 1 ? '1 viewer' : `${count} viewers`}, ${operators === 1 ? '1 of them an operator' : `${operators} of them operators`}`,
    you: 'you',
    operator: 'operator',
    viewer: 'viewer',
    unnamed: 'Somebody',
    watches: (/** @type {string} */ camera, /** @type {string} */ since) => `${camera}, since ${since}`,
    kick: 'End',
    kickOf: (/** @type {string} */ name) => `End the session of ${name}`,
    chat: 'Chat',
    messages: 'Messages',
    noMessages: 'Nobody has said anything yet.',
    yourName: 'Your name',
    message: 'Message',
    send: 'Send',
    chatLine: (/** @type {string} */ name, /** @type {string} */ text) => `${name}: ${text}`,
  },

  details: {
    latency: 'Latency', firstFrame: 'Set-up', video: 'Picture', resolution: 'Resolution', fps: 'Frame rate', bitrate: 'Bitrate',
    codec: 'Codec', camera: 'Camera', capture: 'Capture', audio: 'Sound', source: 'Source', network: 'Network',
    roundTrip: 'Round trip', loss: 'Packet loss', jitterBuffer: 'Jitter buffer', local: 'This device', board: 'Board',
    viewers: 'Viewers', account: 'Signed in as', signOut: 'Sign out',
    unknown: 'unknown',
    latencyUnknown: 'capture time or clock not told by browser or board',
    worst: (/** @type {string} */ worst, /** @type {string} */ error) => `worst ${worst} ms, clocks ± ${error} ms`,
    steps: (/** @type {string} */ answer, /** @type {string} */ connected) => `answer ${answer} ms, connected ${connected} ms`,
    lost: (/** @type {string} */ percent, /** @type {number} */ count) => `${percent} % (${count} lost)`,
    audioDelay: (/** @type {string} */ figure) => `sound ${figure}`,
    ofMax: (/** @type {number} */ count, /** @type {number} */ most) => `${count} of at most ${most}`,
    up: (/** @type {string} */ span) => `up ${span}`,
    off: 'off',
    graph: (/** @type {string} */ what, /** @type {string} */ least, /** @type {string} */ most) => `${what} over two minutes: from ${least} to ${most}`,
  },

  /** The state in a word or two. */
  states: {
    stopped: 'Stopped',
    connecting: 'Connecting',
    live: 'Live',
    interrupted: 'Interrupted',
    waiting: 'Reconnecting',
    failed: 'No picture',
    'no-camera': 'No camera',
    privacy: 'Switched off',
    'signed-out': 'Signed out',
  },

  actions: {
    start: 'Start',
    tryNow: 'Try now',
    tryAgain: 'Try again',
    next: (/** @type {number} */ seconds) => `Next attempt in ${seconds} s`,
  },

  notices: {
    stopped: { title: 'Stopped', text: 'The board sends nothing to this page.' },
    connecting: 'Connecting',
    ended: { title: 'The board has ended the stream', text: 'It is shutting down or starting again.' },
    kicked: { title: 'An operator has ended your session', text: 'The board sends nothing to this page any more.' },
    offline: { title: 'This device is offline', text: 'The picture comes back with the network.' },
    shutDown: { title: 'The board has shut down', text: (/** @type {string} */ host) => `It ended the stream and nothing answers at ${host} now.` },
    unreachable: {
      title: 'The board cannot be reached',
      text: (/** @type {string} */ host) => `Nothing answers at ${host}. It may be off, starting, or on another network.`,
    },
    timeout: { title: 'The board does not answer', text: (/** @type {string} */ host) => `${host} took the request, but no answer came in time.` },
    lost: { title: 'The connection broke', text: 'Nothing comes from the board any more.' },
    gone: { title: 'The board has started again', text: 'It knows this page no more.' },
    noPath: 'The board answers, but no video comes through',
    browser: 'This browser cannot play the stream',
    signedOut: 'Signed out',
    forbidden: 'The board does not let this page in',
    noCamera: 'The board has no camera',
    noSuchCamera: (/** @type {string} */ name) => `The board has no camera “${name}”`,
    availableCameras: (/** @type {string} */ names) => `It has ${names}.`,
    offer: 'The board refused the offer of this browser',
    hostname: {
      title: (/** @type {string} */ name) => `The board does not go by the name ${name}`,
      step: (/** @type {string} */ name) =>
        `Add "${name}" to hosts in the section [http] of the board’s configuration, or use the board’s own name or address`,
    },
    tooMany: { title: 'Too many requests', text: 'The board takes no more requests from this address for the moment.' },
    full: {
      title: 'The board takes no more viewers',
      step: 'Close the page where nobody looks at it, or raise max_viewers in the section [rtc] of the board’s configuration',
      only: 'The only place is taken.',
      all: (/** @type {number} */ places) => `All ${places} places are taken.`,
    },
    error: 'The board reports an error',
    privacy: {
      title: 'Camera and microphone are switched off',
      text: 'An operator, or the button on the board, switches them on again.',
    },
    noCameraVideo: {
      title: 'The camera has no picture',
      steps: [
        'Check that it is plugged in; the picture comes back by itself',
        'Run porthole devices on the board: it lists the cameras there are, for device in the section [[camera]]',
      ],
    },
  },

  warnings: {
    interrupted: 'Nothing comes from the board. Waiting for the connection',
    camera: (/** @type {string} */ fault) => `Camera: ${fault}`,
    stalled: (/** @type {string} */ time) => `No new picture since ${time}`,
    audio: (/** @type {string} */ fault) => `Sound: ${fault}`,
    pattern: 'Test pattern',
    noneFound: 'No camera found: test pattern',
    failed: (/** @type {string} */ what, /** @type {string} */ why) => `${what}: ${why}`,
    noRecording: 'This browser cannot record',
    saved: (/** @type {string} */ name) => `Saved ${name}`,
  },

  diagnosis: {
    noAddress: 'no address',
    and: (/** @type {string} */ head, /** @type {string} */ last) => `${head} and ${last}`,
    unnamed: 'an unnamed address',
    answered: {
      title: 'A way to the board was found, but no picture came over it',
      text: 'The board has answered on the media path, and the encrypted connection did not come about.',
      steps: ['Look into the board’s log (journalctl -u porthole)', 'Check that no VPN or firewall holds back large packets'],
    },
    noAddresses: {
      title: 'The board has offered no address',
      text: 'It answers over HTTP, but none of its addresses may be used for pictures.',
      step: 'Check interfaces, exclude_interfaces and networks in the section [rtc] of the board’s configuration',
    },
    privateAddresses: {
      title: 'The board offers only addresses of its own network',
      text: (/** @type {string} */ host, /** @type {string} */ places) =>
        `This page was loaded from ${host}, but the board names ${places}, where this device cannot reach it.`,
      forward: (/** @type {string} */ ports) => `Forward UDP port ${ports} (and TCP port ${ports}) to the board on the router in front of it`,
      advertise: (/** @type {string} */ host) => `Set advertise = ["${host}"] in the section [rtc] of the board’s configuration`,
    },
    forwardTcp: (/** @type {string} */ ports) => `Let TCP port ${ports} through too: it is the way where UDP is blocked`,
    enableTcp: 'Set tcp = true in the section [rtc] of the board’s configuration, for networks that block UDP',
    noUdp: {
      title: 'This browser uses no UDP',
      text: 'A policy, an extension or a proxy setting keeps it from sending video the usual way',
      step: 'Allow WebRTC over UDP in this browser, or try another one',
    },
    noTcpEither: ', and TCP did not get through either.',
    end: '.',
    blocked: {
      title: 'UDP seems to be blocked',
      text: (/** @type {string} */ places) => `The board answers over HTTP, but nothing comes back from ${places}`,
      between: '. A firewall, a VPN or a guest network may stand between.',
      step: (/** @type {string} */ ports) => `Let UDP port ${ports} through the firewall to the board, and forward it where a router stands between`,
    },
    noPair: {
      title: 'The board answers, but no video comes through',
      text: (/** @type {string} */ places) => `No address of this device fits one of the board’s: ${places}.`,
      step: 'Put this device into the same network as the board',
    },
    relay: {
      none: 'Name a TURN server in ice_servers in the section [rtc] of the board’s configuration; it relays where nothing else gets through',
      noRoute: (/** @type {string} */ names) => `The relay ${names} was reached, but it does not reach the board: let it send to the board’s ports`,
      rejected: (/** @type {string} */ names) => `The relay ${names} refuses the credentials: check username, credential or secret in ice_servers`,
      noResponse: (/** @type {string} */ names) =>
        `The relay ${names} does not answer this device: check that it runs, and urls in ice_servers; turns: with transport=tcp passes most firewalls`,
    },
    tried: {
      path: (/** @type {string} */ protocol, /** @type {string} */ place) => `${protocol} to ${place}`,
      byRelay: (/** @type {string} */ url) => ` by relay${url ? ` ${url}` : ''}`,
      checked: (/** @type {string} */ path, /** @type {number} */ sent, /** @type {number} */ answered) =>
        `${path}: asked ${times(sent)}, ${answered > 0 ? `answered ${times(answered)}` : 'no answer'}`,
      notConnected: (/** @type {string} */ path) => `${path}: not connected`,
      noChecks: (/** @type {string} */ path) => `${path}: not asked`,
      notTried: (/** @type {string} */ path) => `${path}: not tried`,
      notReached: 'not reached',
      responded: 'has answered',
      noResponse: 'no answer',
    },
  },

  /** Of controls by the name that they have in the configuration; others go by their driver's title. @type {Record<string, string>} */
  controlNames: {},

  /** Headings of controls that drivers give. @type {Record<string, string>} */
  controlClasses: {},
};

/** @param {number} count */
function times(count) {
  return count === 1 ? 'once' : `${count} times`;
}

/** @typedef {typeof english} Messages */

export default english;
