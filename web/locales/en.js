/**
 * The page's texts in English: strings, and functions where a value goes into the sentence. Which text is shown when is decided
 * elsewhere. `ko.js` has the same texts in Korean.
 */

const english = {
  tag: 'en',
  name: 'English',

  /** Filled into index.html through `data-text`, `data-label` (aria-label) and `data-hint` (title). */
  page: {
    video: 'Live video',
    videoFrom: (/** @type {string} */ camera) => `Live video from ${camera}`,
    camera: 'Camera',
    language: 'Language',
    advice: 'What you can try',
    tried: 'What was tried',
    mjpeg: 'Showing MJPEG instead: no sound, less smooth, more data.',
    why: 'Why, and what to do',
    signIn: 'Sign in to watch',
    password: 'Password',
    showPassword: 'Show password',
    submit: 'Sign in',
    wait: (/** @type {number} */ seconds) => `Wait ${seconds} s`,
    play: 'Play',
    playLabel: 'Play video',
    controls: 'Controls',
    close: 'Close',
    closeHint: 'Close (Esc)',
    resetZoom: 'Reset zoom',
    zoomed: (/** @type {string} */ times) => `${times}×`,
    zoomedLabel: (/** @type {string} */ zoomed) => `${zoomed}, reset zoom`,
  },

  buttons: {
    mute: { on: 'Mute', off: 'Unmute', none: 'No audio', hint: 'Mute or unmute (M)' },
    photo: { text: 'Photo', busy: 'Loading', hint: 'Take a photo at full resolution (P)' },
    record: { text: 'Record', hint: 'Record video and audio in this browser (R)', stop: (/** @type {string} */ time) => `Stop ${time}` },
    history: { text: 'History', recording: 'History, being recorded now', hint: 'What the board has recorded (T)' },
    hangUp: { text: 'Hang up', start: 'Start', hint: 'Disconnect or connect' },
    settings: { text: 'Settings', hint: 'Camera, quality and image settings (S)' },
    people: {
      text: 'People',
      hint: 'Viewers and chat (C)',
      unread: (/** @type {number} */ count) => `People, ${count} new ${count === 1 ? 'message' : 'messages'}`,
    },
    details: { text: 'Details', hint: 'Connection statistics (I)' },
    pip: { text: 'Pop out', hint: 'Picture in picture (W)' },
    fullScreen: { text: 'Full screen', hint: 'Full screen (F)' },
  },

  /** What the board has recorded. */
  history: {
    live: 'Live',
    playback: 'Recording',
    playing: (/** @type {string} */ time) => `Recording of ${time}`,
    today: 'Today',
    yesterday: 'Yesterday',
    /** How many things happened on a day. */
    events: (/** @type {number} */ count) => `${count} ${count === 1 ? 'event' : 'events'}`,
    /** Plays what was recorded in an hour. */
    hour: (/** @type {string} */ from, /** @type {number | string} */ to, /** @type {number} */ count) => `Play from ${from} to ${to}, ${count} ${count === 1 ? 'recording' : 'recordings'}`,
    /** How many pictures of an hour are not shown. */
    more: (/** @type {number | string} */ count) => `Show more (${count} left)`,
    older: 'Show earlier days',
    causes: { always: 'Recorded', manual: 'Manual', motion: 'Motion', timelapse: 'Time-lapse' },
    running: 'still recording',
    protected: 'protected',
    loading: 'Loading',
    none: 'Nothing has been recorded yet.',
    failed: 'The recordings cannot be read at the moment.',
    unplayable: 'This recording cannot be played.',
    download: 'Download',
    protect: 'Protect',
    remove: 'Delete',
    isRunning: 'It is still being recorded, so it cannot be deleted.',
    isProtected: 'It is protected, so it is kept until somebody removes the protection.',
    confirm: { title: 'Delete this recording?', text: 'It cannot be restored.', cancel: 'Keep it', remove: 'Delete' },
  },

  talk: {
    idle: 'Hold to talk',
    starting: 'One moment',
    held: 'Talking',
    latched: 'Talking: tap to stop',
    hint: 'Hold to talk, or tap to talk until the next tap (Space)',
    you: 'You are talking',
    by: (/** @type {string} */ name) => `${name} is talking`,
    ready: 'The microphone is ready. Hold the button while you talk.',
    denied: 'This page may not use the microphone. Allow it in the browser’s settings for this page.',
    none: 'This device has no microphone.',
    noMore: 'The microphone is gone.',
    microphone: (/** @type {string} */ reason) => `The microphone can’t be used. ${reason}`,
    taken: (/** @type {string} */ name) => `${name} is talking, so you are not heard.`,
    forbidden: 'Only operators may talk.',
    refused: (/** @type {string} */ reason) => `The board can’t play what you say. ${reason}`,
    ended: 'The board no longer plays what you say.',
    camera: {
      show: 'Show my camera while I talk',
      self: 'Your camera',
      denied: 'This page may not use the camera. Allow it in the browser’s settings for this page.',
      none: 'This device has no camera.',
      gone: 'Your camera is gone.',
      failed: (/** @type {string} */ reason) => `Your camera can’t be used. ${reason}`,
    },
    help: {
      title: 'Talking needs HTTPS',
      text: 'Browsers let a page use the microphone only if it was loaded over HTTPS, and this one was not.',
      operator: 'Put this line into the [http] section of the board’s configuration, restart porthole, and open the page again:',
      viewer: 'Ask the person who runs the board to turn on HTTPS.',
    },
  },

  settings: {
    source: 'Source',
    microphone: 'Microphone',
    noAudio: 'No audio',
    muted: 'Muted',
    quality: 'Quality for everyone',
    size: 'Resolution',
    rate: 'Frame rate',
    bitrate: 'Bitrate',
    latency: 'Latency for you',
    low: 'Low: shortest delay',
    smooth: 'Smooth: buffers to avoid stutter',
    data: 'Data for you',
    dataSaver: 'Data saver: a smaller picture that takes less data',
    controls: 'Camera image',
    noControls: 'This camera has no adjustable settings.',
    reset: 'Reset',
    resetOf: (/** @type {string} */ control) => `Reset ${control}`,
    resetAll: 'Reset all',
    run: 'Run',
    operatorsOnly: 'Only operators can change settings that affect everyone. You are signed in as a viewer.',
    privacy: 'Privacy',
    privacySwitch: 'Turn off camera and microphone for everyone',
    privacyUnkept: 'Not saved: the board could not store this, so a restart may undo it. It keeps trying.',
    page: 'This page',
  },

  people: {
    watching: 'Watching now',
    count: (/** @type {number} */ count, /** @type {number} */ operators) =>
      `${count === 1 ? '1 viewer' : `${count} viewers`}, including ${operators === 1 ? '1 operator' : `${operators} operators`}`,
    you: 'you',
    operator: 'operator',
    viewer: 'viewer',
    unnamed: 'Anonymous',
    watches: (/** @type {string} */ camera, /** @type {string} */ since) => `${camera}, since ${since}`,
    delay: (/** @type {number} */ milliseconds) => `${milliseconds} ms behind`,
    kick: 'Remove',
    kickOf: (/** @type {string} */ name) => `Remove ${name}`,
    chat: 'Chat',
    messages: 'Messages',
    noMessages: 'No messages yet.',
    yourName: 'Your name',
    message: 'Message',
    send: 'Send',
    chatLine: (/** @type {string} */ name, /** @type {string} */ text) => `${name}: ${text}`,
  },

  details: {
    latency: 'Latency', firstFrame: 'First frame', video: 'Video', resolution: 'Resolution', fps: 'Frame rate', bitrate: 'Bitrate',
    codec: 'Codec', camera: 'Camera', capture: 'Capture', audio: 'Audio', source: 'Source', network: 'Network',
    roundTrip: 'Round trip', loss: 'Packet loss', jitterBuffer: 'Jitter buffer', local: 'This device', board: 'Board',
    viewers: 'Viewers', account: 'Signed in as', signOut: 'Sign out', capacity: 'Capacity',
    unknown: 'unknown',
    latencyUnknown: 'the browser or the board does not report capture times or its clock',
    worst: (/** @type {string} */ worst, /** @type {string} */ error) => `at most ${worst} ms, clock error ± ${error} ms`,
    skips: (/** @type {number} */ count) => `skipped ahead ${count === 1 ? 'once' : `${count} times`}`,
    steps: (/** @type {string} */ answer, /** @type {string} */ connected) => `answer after ${answer} ms, connected after ${connected} ms`,
    lost: (/** @type {string} */ percent, /** @type {number} */ count) => `${percent} % (${count} lost)`,
    reduced: (/** @type {string} */ size) => `${size}, half size`,
    fewer: (/** @type {number} */ count) => `fewer for this network, ${count} left out`,
    audioDelay: (/** @type {string} */ delay) => `audio ${delay}`,
    ofMax: (/** @type {number} */ count, /** @type {number} */ max) => `${count} of at most ${max}`,
    up: (/** @type {string} */ uptime) => `up ${uptime}`,
    off: 'off',
    graph: (/** @type {string} */ name, /** @type {string} */ min, /** @type {string} */ max) => `${name} over the last two minutes: ${min} to ${max}`,
  },

  /** The state in a word or two. */
  states: {
    stopped: 'Stopped',
    connecting: 'Connecting',
    live: 'Live',
    interrupted: 'Interrupted',
    waiting: 'Reconnecting',
    failed: 'No video',
    fallback: 'Live as MJPEG',
    'no-camera': 'No camera',
    privacy: 'Camera off',
    'signed-out': 'Signed out',
  },

  actions: {
    start: 'Start',
    tryNow: 'Try now',
    tryAgain: 'Try again',
    next: (/** @type {number} */ seconds) => `Trying again in ${seconds} s`,
  },

  notices: {
    stopped: { title: 'Stopped', text: 'You are not connected to the board.' },
    connecting: 'Connecting',
    ended: { title: 'The board ended the stream', text: 'It is shutting down or restarting.' },
    kicked: { title: 'An operator ended your session', text: 'You are no longer connected to the board.' },
    offline: { title: 'This device is offline', text: 'The video resumes when the network is back.' },
    shutDown: { title: 'The board has shut down', text: (/** @type {string} */ host) => `It ended the stream, and nothing answers at ${host} now.` },
    unreachable: {
      title: 'Can’t reach the board',
      text: (/** @type {string} */ host) => `Nothing answers at ${host}. The board may be off, starting up or on another network.`,
    },
    timeout: { title: 'The board is not responding', text: (/** @type {string} */ host) => `${host} accepted the request but did not answer in time.` },
    interrupted: { title: 'The connection is interrupted', text: 'Nothing arrives from the board. The page is looking for another way to it.' },
    lost: { title: 'Connection lost', text: 'The board can no longer be reached over the media connection.' },
    gone: { title: 'The board has restarted', text: 'The session no longer exists. A new one is being started.' },
    noPath: 'The board answers, but no video arrives',
    browser: 'This browser can’t play the stream',
    noWebRtc: {
      text: 'It does not support WebRTC, or WebRTC is turned off.',
      steps: ['Allow WebRTC in the browser’s settings and extensions', 'Open this page in a current Firefox, Chrome, Edge or Safari'],
    },
    otherBrowser: 'It did not accept the connection. Reloading the page or another browser may help.',
    noH264: {
      title: 'This browser has no H.264 video',
      text: 'The board sends H.264. In Firefox it comes with a plugin that may be turned off, or not be downloaded yet.',
      steps: [
        'Firefox: open about:addons, Plugins, and turn on “OpenH264 Video Codec provided by Cisco Systems”',
        'Open this page in Chrome, Edge or Safari',
      ],
    },
    signedOut: 'Signed out',
    forbidden: 'The board denied access',
    noCamera: 'The board has no camera',
    noSuchCamera: (/** @type {string} */ name) => `The board has no camera “${name}”`,
    availableCameras: (/** @type {string} */ names) => `Available: ${names}.`,
    offer: 'The board rejected the connection',
    hostname: {
      title: (/** @type {string} */ name) => `The board does not accept the name ${name}`,
      step: (/** @type {string} */ name) =>
        `Add "${name}" to hosts in the [http] section of the board’s configuration, or use the board’s own name or IP address`,
    },
    tooMany: { title: 'Too many requests', text: 'The board is not accepting more requests from this address right now.' },
    full: {
      title: 'The board has reached its viewer limit',
      step: 'Close the page where nobody is watching, or raise max_viewers in the [rtc] section of the board’s configuration',
      viewerStep: 'Close the page where nobody is watching',
      only: 'It allows one viewer at a time.',
      all: (/** @type {number} */ max) => `It allows ${max} viewers at a time.`,
    },
    error: 'The board reported an error',
    privacy: {
      title: 'Camera and microphone are turned off',
      text: 'An operator, or the button on the board, can turn them back on.',
      unkept: 'But the board could not store this, so they may be back on after it restarts. It keeps trying.',
    },
    noCameraVideo: {
      title: 'No video from the camera',
      viewerText: 'The camera may be unplugged. The video resumes on its own.',
      steps: [
        'Check that the camera is plugged in; the video resumes on its own',
        'Run porthole devices on the board to list the cameras you can set as device in the [[camera]] section',
      ],
    },
  },

  warnings: {
    interrupted: 'Nothing is arriving from the board. Trying to reconnect',
    camera: (/** @type {string} */ fault) => `Camera: ${fault}`,
    cameraFault: 'The camera reports a problem',
    audioFault: 'The microphone reports a problem',
    speakerFault: 'The speaker reports a problem',
    stalled: (/** @type {string} */ time) => `No new frames since ${time}`,
    audio: (/** @type {string} */ fault) => `Audio: ${fault}`,
    speaker: (/** @type {string} */ fault) => `Speaker: ${fault}`,
    pattern: 'Test pattern',
    noneFound: 'No camera found: showing the test pattern',
    failed: (/** @type {string} */ what, /** @type {string} */ reason) => `${what}: ${reason}`,
    saved: (/** @type {string} */ name) => `Saved ${name}`,
  },

  diagnosis: {
    /** For those who cannot change anything on the board. */
    viewerSteps: ['Try another network', 'Send what was tried, below, to the person who runs the board'],
    noAddress: 'no address',
    and: (/** @type {string} */ head, /** @type {string} */ last) => `${head} and ${last}`,
    unnamed: 'a hidden address',
    answered: {
      title: 'The board was reached, but no video arrived',
      text: 'The board answered on the media path, but the encrypted connection could not be set up.',
      steps: ['Check the board’s log (journalctl -u porthole)', 'Check that no VPN or firewall drops large packets'],
    },
    noAddresses: {
      title: 'The board offered no address',
      text: 'It answers over HTTP, but none of its addresses may be used for media.',
      step: 'Check interfaces, exclude_interfaces and networks in the [rtc] section of the board’s configuration',
    },
    privateAddresses: {
      title: 'The board offers only private addresses',
      text: (/** @type {string} */ host, /** @type {string} */ addresses) =>
        `This page was loaded from ${host}, but the board offers ${addresses}, which this device cannot reach.`,
      forward: (/** @type {string} */ ports) => `Forward UDP port ${ports} (and TCP port ${ports}) to the board on the router in front of it`,
      advertise: (/** @type {string} */ host) => `Set advertise = ["${host}"] in the [rtc] section of the board’s configuration`,
    },
    forwardTcp: (/** @type {string} */ ports) => `Allow TCP port ${ports} as well; it is used where UDP is blocked`,
    enableTcp: 'Set tcp = true in the [rtc] section of the board’s configuration, for networks that block UDP',
    noUdp: {
      title: 'This browser does not use UDP',
      text: 'A policy, an extension or a proxy setting keeps it from receiving video the usual way',
      step: 'Allow WebRTC over UDP in this browser, or try another browser',
    },
    noTcpEither: ', and TCP did not connect either.',
    end: '.',
    blocked: {
      title: 'UDP seems to be blocked',
      text: (/** @type {string} */ addresses) => `The board answers over HTTP, but nothing comes back from ${addresses}`,
      between: '. A firewall, a VPN or a guest network may be blocking it.',
      step: (/** @type {string} */ ports) => `Allow UDP port ${ports} through the firewall to the board, and forward it on any router in between`,
    },
    noPair: {
      title: 'The board answers, but no video arrives',
      text: (/** @type {string} */ addresses) => `None of this device’s addresses can connect to the board’s: ${addresses}.`,
      step: 'Connect this device to the same network as the board',
    },
    relay: {
      none: 'Add a TURN server to ice_servers in the [rtc] section of the board’s configuration; it relays media when nothing else connects',
      noRoute: (/** @type {string} */ names) => `The board was not reached through the relay ${names}: allow the relay to send to the board’s ports`,
      rejected: (/** @type {string} */ names) => `Credentials rejected by the relay ${names}: check username, credential or secret in ice_servers`,
      noResponse: (/** @type {string} */ names) =>
        `No response from the relay ${names}: check that it is running, and check urls in ice_servers; turns: with transport=tcp passes most firewalls`,
    },
    tried: {
      path: (/** @type {string} */ protocol, /** @type {string} */ address) => `${protocol} to ${address}`,
      byRelay: (/** @type {string} */ url) => ` through the relay${url ? ` ${url}` : ''}`,
      checked: (/** @type {string} */ path, /** @type {number} */ sent, /** @type {number} */ answered) =>
        `${path}: ${sent === 1 ? '1 check' : `${sent} checks`} sent, ${answered > 0 ? `${answered} answered` : 'no response'}`,
      notConnected: (/** @type {string} */ path) => `${path}: not connected`,
      noChecks: (/** @type {string} */ path) => `${path}: no checks sent`,
      notTried: (/** @type {string} */ path) => `${path}: not tried`,
      notReached: 'not reached',
      responded: 'responded',
      noResponse: 'no response',
    },
  },

  /** The board's notices by their code in the control protocol. */
  boardNotices: {
    'privacy.on': (/** @type {string} */ by) => `${by} has turned off camera and microphone.`,
    'privacy.off': (/** @type {string} */ by) => `${by} has turned camera and microphone back on.`,
    'session.kicked': (/** @type {string} */ by, /** @type {string} */ name) => `${by} has ended the session of ${name}.`,
    'photo.taken': (/** @type {string} */ by, /** @type {string} */ camera) => `${by} has taken a photo with ${camera}; it is stored on the board.`,
    'video.changed': (/** @type {string} */ by, /** @type {string} */ camera) => `${by} has changed the video settings of ${camera}.`,
  },

  /** Names of camera controls by their configuration key; English uses the driver's title. @type {Record<string, string>} */
  controlNames: {},

  /** Headings of the drivers' control classes. @type {Record<string, string>} */
  controlClasses: {},
};

/** @typedef {typeof english} Messages */

export default english;
