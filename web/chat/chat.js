// The chat page: one room at a time over one MQTT session that outlives the page.
//
// What is safe where: a message of ours is in localStorage before it is sent and stays there until the broker's
// PUBACK says that it is on disk; a message of others is in localStorage before its PUBACK leaves. When localStorage is
// full, the oldest messages make room; when that is not enough, ours are refused and those of others stay with the
// broker. README.md lists the elements, attributes and states that scripts and tests may rely on.

import { MQTTClient, MQTTError } from './mqtt.js';

// Bounds of a room. A browser keeps about five million characters, of all rooms together.
const historyMaximum = 500;
const historyCharactersMaximum = 1_000_000;
// More than anyone writes by hand. What localStorage can never hold could never be acknowledged, and nothing after it.
const textCharactersMaximum = 100_000;
const sessionExpirySeconds = 7 * 24 * 3600;
const topicPrefix = 'chat/';
const $ = id => document.getElementById(id);

// What the browser keeps. Some browsers forbid localStorage; the page then lives as long as its tab.

const browserStorage = (() => { try { return window.localStorage; } catch { return undefined; } })();
const keyPrefix = 'drawbridge.chat.';
const fallback = new Map(); // Newer than what is stored.
const storage = {
    read(key, otherwise) {
        if (fallback.has(key)) return fallback.get(key) ?? otherwise;
        try { return JSON.parse(browserStorage.getItem(keyPrefix + key)) ?? otherwise; } catch { return otherwise; }
    },
    /** False if the storage is full, even without old messages: then only this tab knows the value. */
    write(key, value) {
        fallback.set(key, value);
        if (!browserStorage) return true;
        do {
            try {
                browserStorage.setItem(keyPrefix + key, JSON.stringify(value));
                return fallback.delete(key);
            } catch { /* It is full. */ }
        } while (halveLongestHistory());
        return false;
    },
};
const storageFull = () => new MQTTError(0x97, 'The storage of this browser is full');

/** Random and unguessable. `crypto.randomUUID` exists on https only, and an edge box is often plain http. */
const randomID = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, n => n.toString(16).padStart(2, '0')).join('');
};

// The address may preset name and room, in the hash or the query.

const preset = () => {
    const fromHash = new URLSearchParams(location.hash.slice(1));
    const fromQuery = new URLSearchParams(location.search);
    const get = key => fromHash.get(key) ?? fromQuery.get(key) ?? undefined;
    return { name: get('name'), room: get('room') };
};

const isLoopback = host => host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);

/** The broker is where the page came from. Developers may name another one, but no link can send a chat elsewhere. */
const brokerURL = () => {
    const url = new URL('mqtt', document.baseURI);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.search = url.hash = '';
    const override = new URLSearchParams(location.search).get('broker');
    if (override && isLoopback(location.hostname) && isLoopback(new URL(override).hostname)) return override;
    return url.href;
};

const cleanName = text => (text ?? '').trim().slice(0, 40);
const cleanRoom = text => (text ?? '').trim().replace(/^#+/, '').slice(0, 64);
const roomProblem = room => {
    if (room === '') return 'Please enter a room.';
    return /[+#/\0]/.test(room) ? 'A room cannot contain +, # or /.' : '';
};

// Histories: an array of {id, name, text, at, state, isMine, reason, packetID} per room, oldest first.

const histories = new Map();
const changedRooms = new Set();
const history = room => {
    if (!histories.has(room)) histories.set(room, storage.read(`history.${room}`, []));
    return histories.get(room);
};
let isStorageFull = false;
/** False if the storage is full. */
const saveHistories = () => {
    for (const room of changedRooms) {
        if (storage.write(`history.${room}`, history(room))) changedRooms.delete(room);
    }
    const wasStorageFull = isStorageFull;
    isStorageFull = changedRooms.size > 0;
    if (isStorageFull !== wasStorageFull) showConnection();
    return !isStorageFull;
};
const characters = messages => messages.reduce((sum, { text }) => sum + text.length, 0);
/** Forgets messages of a room, on the page too: it shows what is kept. */
const forget = (room, messages) => {
    const all = history(room);
    for (const message of messages) {
        all.splice(all.indexOf(message), 1);
        if (room !== currentRoom) continue;
        elements.get(message.id)?.remove();
        elements.delete(message.id);
    }
};
const remember = (room, message) => {
    const all = history(room);
    all.push(message);
    while (all.length > historyMaximum || characters(all) > historyCharactersMaximum) forget(room, [all[0]]);
    changedRooms.add(room);
};
/** Makes room in the storage. False if every room is down to its newest message and what is not sent. */
const halveLongestHistory = () => {
    if (isElsewhere) return false; // The other tab may know more than this one.
    const prefix = `${keyPrefix}history.`;
    const stored = Object.keys(browserStorage).filter(key => key.startsWith(prefix));
    const rooms = new Set([...stored.map(key => key.slice(prefix.length)), ...histories.keys()]);
    const isForgettable = ({ state }) => state === 'stored' || state === 'received';
    const forgettable = [...rooms].map(room => ({ room, messages: history(room).slice(0, -1).filter(isForgettable) }));
    const [longest] = forgettable.sort((one, other) => characters(other.messages) - characters(one.messages));
    if (!longest?.messages.length) return false;
    forget(longest.room, longest.messages.slice(0, Math.ceil(longest.messages.length / 2)));
    try { browserStorage.setItem(prefix + longest.room, JSON.stringify(history(longest.room))); }
    catch { /* What it holds is unsaved yet, and will be shorter the next time. */ }
    return true;
};

// State of the page.

let me = storage.read('name', '');
let currentRoom;
let client;
let isElsewhere = false;
let refusal;
let unseen = 0;
// Never stored: the password store of the browser is the place for it.
let password = '';
const loginReasons = new Set([0x86, 0x87]);

// Showing messages. Text from the network is only ever assigned to `textContent`.

const elements = new Map();
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const sameGroupMilliseconds = 5 * 60 * 1000;
let lastShown;

const dayName = date => {
    const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
    return days === 0 ? 'Today' : days === 1 ? 'Yesterday' : dayFormat.format(date);
};

const tint = name => [...name].reduce((sum, character) => sum * 31 + character.codePointAt(0) >>> 0, 7) % 6;
const markLabels = { sending: 'Sending', stored: 'Stored by the server', failed: 'Not sent' };

const showState = (element, message) => {
    element.dataset.state = message.state;
    if (!message.isMine) return;
    const mark = element.querySelector('.mark');
    mark.setAttribute('aria-label', markLabels[message.state]);
    mark.title = markLabels[message.state];
    element.querySelector('.reason').textContent = message.state === 'failed' ? `Not sent: ${message.reason}.` : '';
};

const showMessage = message => {
    const date = new Date(message.at);
    const previous = lastShown;
    lastShown = message;
    const isNewDay = !previous || new Date(previous.at).toDateString() !== date.toDateString();
    if (isNewDay) {
        const day = document.createElement('li');
        day.className = 'day';
        day.textContent = dayName(date);
        $('messages').append(day);
    }
    const element = $('message-template').content.firstElementChild.cloneNode(true);
    element.dataset.messageId = message.id;
    element.classList.add(message.isMine ? 'own' : 'other');
    const isContinued = !isNewDay && previous.name === message.name && previous.isMine === message.isMine
        && Math.abs(date - new Date(previous.at)) < sameGroupMilliseconds;
    element.classList.toggle('continued', isContinued);
    element.querySelector('.author').textContent = message.name;
    element.querySelector('.message-text').textContent = message.text;
    const avatar = element.querySelector('.avatar');
    avatar.textContent = ([...message.name][0] ?? '?').toUpperCase();
    avatar.dataset.tint = tint(message.name);
    const time = element.querySelector('time');
    time.dateTime = date.toISOString();
    time.textContent = timeFormat.format(date);
    time.title = date.toLocaleString();
    showState(element, message);
    elements.set(message.id, element);
    $('messages').append(element);
    $('empty').classList.remove('is-shown');
};

const isAtEnd = () => $('scroller').scrollHeight - $('scroller').scrollTop - $('scroller').clientHeight < 60;
let isFollowing = true; // Whether the reader is at the end, as of the last scroll.
let isScrollPlanned = false;
/** Once a frame: asking for the height after every message of a thousand would lay the page out a thousand times. */
const scrollToEnd = () => {
    isFollowing = true;
    $('latest').hidden = true;
    if (isScrollPlanned) return;
    isScrollPlanned = true;
    requestAnimationFrame(() => {
        isScrollPlanned = false;
        if (isFollowing) $('scroller').scrollTop = $('scroller').scrollHeight;
    });
};

/** Adds a message to its room; the reader who scrolled up stays where he reads. */
const add = (room, message) => {
    remember(room, message);
    if (room !== currentRoom) return;
    const shouldFollow = message.isMine || isFollowing;
    showMessage(message);
    if (shouldFollow) scrollToEnd(); else $('latest').hidden = false;
    if (document.hidden && !message.isMine) unseen += 1;
    showTitle();
};

const change = (room, id, changes) => {
    const message = history(room).find(one => one.id === id);
    if (!message) return;
    Object.assign(message, changes);
    changedRooms.add(room);
    const element = room === currentRoom && elements.get(id);
    if (!element) return;
    showState(element, message);
    if (isFollowing) scrollToEnd();
};

const showTitle = () => {
    const count = unseen > 0 ? `(${unseen}) ` : '';
    document.title = currentRoom ? `${count}#${currentRoom} · Drawbridge` : 'Drawbridge chat';
};

const showRoom = () => {
    document.body.dataset.view = currentRoom ? 'chat' : 'join';
    $('title').textContent = currentRoom ? `#${currentRoom}` : 'Drawbridge';
    $('subtitle').textContent = currentRoom ? `as ${me}` : 'Chat';
    elements.clear();
    lastShown = undefined;
    unseen = 0;
    $('messages').replaceChildren();
    showTitle();
    if (!currentRoom) return $(me ? 'room' : 'name').focus();
    const all = history(currentRoom);
    $('empty').classList.toggle('is-shown', all.length === 0);
    for (const message of all) showMessage(message);
    $('text').placeholder = `Message #${currentRoom}`;
    scrollToEnd();
    if (matchMedia('(hover: hover)').matches) $('text').focus(); // A phone would open its keyboard.
};

// Showing the connection.

const statusTexts = {
    online: 'Connected', connecting: 'Connecting', waiting: 'Offline', stopped: 'Not connected',
    elsewhere: 'Paused', refused: 'Refused',
};
const hints = {
    online: 'Enter sends, Shift + Enter starts a new line',
    connecting: 'Connecting. Messages are kept, in order.',
    waiting: 'Offline. Messages are kept, in order.',
    elsewhere: 'This chat is open in another tab.',
};

const showConnection = () => {
    const state = isElsewhere ? 'elsewhere' : refusal ? 'refused' : client?.state ?? 'stopped';
    const problem = state === 'refused' ? `The server refuses: ${refusal}.`
        : isStorageFull && state !== 'elsewhere' ? `${storageFull().message}. New messages wait on the server.` : '';
    $('status').dataset.state = state;
    $('status-text').textContent = statusTexts[state];
    $('hint-text').textContent = problem || (hints[state] ?? '');
    $('hint').dataset.tone = problem ? 'bad' : state === 'online' ? '' : 'busy';
    $('resume').hidden = state !== 'elsewhere' && state !== 'refused' && state !== 'waiting';
    $('resume').textContent = state === 'elsewhere' ? 'Use it here' : 'Try now';
    $('text').disabled = $('send').disabled = state === 'elsewhere';
};

// The client.

// Rooms that the broker's session may be subscribed to, as keys. A room is written down before the SUBSCRIBE leaves, so
// that one which was left while offline is not forgotten.
const subscriptions = () => storage.read('subscriptions', {});
const noteSubscription = room => storage.write('subscriptions', { ...subscriptions(), [room]: true });
const forgetSubscription = room => {
    const { [room]: _, ...others } = subscriptions();
    storage.write('subscriptions', others);
};

/** Makes the session's subscriptions those that the page wants. It subscribes even if the session should be subscribed:
 *  once too often changes nothing, but after a lost UNSUBACK once too few would be silence for good. */
const syncSubscriptions = async () => {
    if (client?.state !== 'online') return;
    const room = currentRoom;
    for (const left of Object.keys(subscriptions()).filter(one => one !== room)) {
        client.unsubscribe(topicPrefix + left).then(() => {
            if (left !== currentRoom) forgetSubscription(left);
        }, () => {}); // Or the next time.
    }
    if (!room) return;
    noteSubscription(room);
    try {
        // Retained messages come with a new subscription only, not with every reconnect.
        await client.subscribe(topicPrefix + room, { qos: 1, retainHandling: 1 });
    } catch (error) {
        if (error.reasonCode === 0 || room !== currentRoom) return;
        $('hint-text').textContent = `You cannot read this room: ${error.message}.`;
        $('hint').dataset.tone = 'bad';
    }
};

/** The message that a payload holds; whatever is not JSON of ours is text from someone. */
const parse = ({ payload, packetID }) => {
    const text = new TextDecoder().decode(payload);
    const cut = all => (all.length > textCharactersMaximum ? `${all.slice(0, textCharactersMaximum)} … (cut)` : all);
    try {
        const { id, name, text: said, at } = JSON.parse(text);
        const areStrings = [id, name, said].every(one => typeof one === 'string');
        const isOurs = areStrings && /^[\w.-]{1,64}$/.test(id) && said !== '';
        const date = new Date(at);
        const time = (isNaN(date) ? new Date() : date).toISOString();
        if (isOurs) return { id, name: cleanName(name) || 'someone', text: cut(said), at: time };
    } catch { /* Not JSON: shown as it is. */ }
    return { id: `plain-${randomID()}`, name: 'someone', text: cut(text), at: new Date().toISOString(), packetID };
};

let hasReceived = false; // In this turn.
const receive = packet => {
    if (!packet.topic.startsWith(topicPrefix) || packet.payload.length === 0) return;
    hasReceived = true;
    const room = packet.topic.slice(topicPrefix.length);
    const message = parse(packet);
    // The same id again is our own message on its way back, or a repetition after a reconnect. A plain text has no id:
    // its repetition is known by DUP, the packet id and the text.
    const isRepetition = ({ packetID, text }) =>
        packet.duplicate && packetID !== undefined && packetID === message.packetID && text === message.text;
    const isKnown = history(room).some(one => one.id === message.id || isRepetition(one));
    if (!isKnown) add(room, { ...message, state: 'received', isMine: false });
};

const publish = (room, { id, name, text, at }) => {
    const payload = JSON.stringify({ id, name, text, at });
    client.publish(topicPrefix + room, payload, { qos: 1, tag: { room, id } }).catch(error => {
        // Refusals by the broker arrive as `settled`; what never got into the queue is told here only.
        const isQueued = client.waitingTags.some(tag => tag.id === id);
        if (!isQueued) change(room, id, { state: 'failed', reason: error.message });
        saveHistories();
    });
};

const startClient = () => {
    const clientID = storage.read('clientID') ?? `chat-${randomID()}`;
    storage.write('clientID', clientID);
    client = new MQTTClient({
        url: brokerURL(), clientID, cleanStart: false, sessionExpiry: sessionExpirySeconds, keepAlive: 60,
        ...password && { username: me, password },
        store: {
            load: () => storage.read('session'),
            save: session => { if (!isElsewhere && !storage.write('session', session)) throw storageFull(); },
        },
    });
    client.on('state', showConnection);
    client.on('message', receive);
    client.on('turn', () => {
        const mustKeep = hasReceived;
        hasReceived = false;
        if (!saveHistories() && mustKeep) throw storageFull(); // So it is not acknowledged.
    });
    client.on('online', ({ sessionPresent }) => {
        if (!sessionPresent) storage.write('subscriptions', {});
        syncSubscriptions();
    });
    client.on('offline', ({ error, retryIn }) => {
        if (retryIn !== undefined || isElsewhere) return;
        if (loginReasons.has(error.reasonCode)) return askForPassword();
        if (error.reasonCode === 0x8e) isElsewhere = true; else refusal = error.message;
        showConnection();
    });
    client.on('settled', ({ tag: { room, id }, error }) => {
        change(room, id, error ? { state: 'failed', reason: error.message } : { state: 'stored', reason: undefined });
        saveHistories();
    });
    client.connect();
};

/** The server lets in only whom it knows: back to the form, which now has a field for the password. */
const askForPassword = () => {
    $('join-problem').textContent = password ? 'Name and password do not fit.' : 'This server asks for your password.';
    $('credentials').hidden = false;
    $('name').value = me;
    $('room').value = currentRoom ?? $('room').value;
    $('password').value = password = '';
    client = currentRoom = undefined; // What waits to be sent is in the store, for the next client.
    showRoom();
    showConnection();
    $('password').focus();
};

// Two tabs of one browser are one client to the broker. The newer tab wins; the older one steps aside at once, before
// both write into the same storage.
const tabs = 'BroadcastChannel' in window ? new BroadcastChannel('drawbridge.chat') : undefined;
if (tabs) {
    tabs.onmessage = () => {
        if (!client || isElsewhere) return;
        isElsewhere = true;
        client.end();
        showConnection();
    };
}

// What the user does.

const enter = (name, room) => {
    me = name;
    currentRoom = room;
    storage.write('name', me);
    storage.write('room', room);
    history(room); // Read before the client starts, so that what arrives finds it.
    window.history.replaceState(null, '', `${location.pathname}${location.search}#room=${encodeURIComponent(room)}`);
    if (!client) {
        tabs?.postMessage('opened');
        startClient();
    }
    syncSubscriptions();
    showRoom();
    showConnection();
    // A page that died between writing a message down and queueing it left it on "sending". The id is the same, so it
    // is shown once even if it did leave.
    const waiting = new Set(client.waitingTags.map(tag => tag.id));
    const forgotten = history(room).filter(({ id, state }) => state === 'sending' && !waiting.has(id));
    for (const message of forgotten) publish(room, message);
};

const leave = () => {
    currentRoom = undefined;
    storage.write('room', null);
    window.history.replaceState(null, '', location.pathname + location.search);
    syncSubscriptions();
    showRoom();
};

$('join-form').addEventListener('submit', event => {
    event.preventDefault();
    const name = cleanName($('name').value), room = cleanRoom($('room').value);
    const problem = name === '' ? 'Please enter your name.' : roomProblem(room);
    $('join-problem').textContent = problem;
    $('name').setAttribute('aria-invalid', name === '');
    $('room').setAttribute('aria-invalid', roomProblem(room) !== '');
    if (problem === '') {
        password = $('password').value;
        return enter(name, room);
    }
    $(name === '' ? 'name' : 'room').focus();
});

$('leave').addEventListener('click', leave);

const fitText = () => {
    const field = $('text');
    field.style.height = 'auto';
    field.style.height = `${Math.min(160, field.scrollHeight + 2)}px`;
};

$('compose').addEventListener('submit', event => {
    event.preventDefault();
    const text = $('text').value.trim();
    if (text === '' || isElsewhere) return;
    const message = { id: randomID(), name: me, text, at: new Date().toISOString(), state: 'sending', isMine: true };
    add(currentRoom, message);
    saveHistories();
    publish(currentRoom, message);
    $('text').value = '';
    fitText();
    $('text').focus();
});

$('text').addEventListener('input', fitText);
$('text').addEventListener('keydown', event => {
    // While a word is being composed (Chinese, Japanese, accents), Enter belongs to the composition.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $('compose').requestSubmit();
});

$('messages').addEventListener('click', event => {
    if (!event.target.closest('.retry')) return;
    const { messageId } = event.target.closest('.message').dataset;
    const message = history(currentRoom).find(({ id }) => id === messageId);
    change(currentRoom, messageId, { state: 'sending', reason: undefined });
    saveHistories();
    publish(currentRoom, message);
});

$('resume').addEventListener('click', () => {
    if (isElsewhere) return location.reload(); // The other tab has written; read everything anew.
    if (refusal) { refusal = undefined; client.connect(); } else client.wake();
    showConnection();
});

$('latest').addEventListener('click', scrollToEnd);
$('scroller').addEventListener('scroll', () => {
    isFollowing = isAtEnd();
    if (isFollowing) $('latest').hidden = true;
}, { passive: true });
// The keyboard of a phone and a growing text field take room from the messages; the end stays in sight.
new ResizeObserver(() => { if (isFollowing) scrollToEnd(); }).observe($('scroller'));

addEventListener('online', () => client?.wake());
document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    client?.wake();
    unseen = 0;
    showTitle();
});

/** A complete address joins at once, as does the room of the last visit; anything less asks. */
const enterFromAddress = () => {
    const { name: presetName, room: presetRoom } = preset();
    const name = cleanName(presetName) || me;
    const room = cleanRoom(presetRoom ?? storage.read('room') ?? '');
    $('name').value = name;
    $('room').value = room || 'lobby';
    if (name && roomProblem(room) === '') enter(name, room);
};

showRoom();
showConnection();
enterFromAddress();
addEventListener('hashchange', enterFromAddress);
