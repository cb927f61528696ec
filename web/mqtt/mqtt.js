// MQTT 5 over WebSocket for browsers: one file, no dependencies.
//   const client = new MQTTClient({ url: 'wss://edge:8084/mqtt', clientID: 'kiosk-7' });
//   client.on('message', ({ topic, payload }) => console.log(topic, new TextDecoder().decode(payload)));
//   client.on('online', () => client.subscribe('room/+', { qos: 1 }));
//   client.connect();
//   await client.publish('room/1', 'hello', { qos: 1 });   // resolves once the broker has acknowledged it
// It reads upwards: primitives, properties, packets, packets out of a stream, client. § are those of MQTT 5.0.

/** What the reason codes mean that a user may meet (§2.4), in words that can be shown. */
const reasonNames = {
    0x00: 'Success', 0x10: 'No matching subscribers', 0x80: 'Unspecified error', 0x81: 'Malformed packet',
    0x82: 'Protocol error', 0x83: 'Refused by the server', 0x84: 'Protocol version not supported',
    0x85: 'Client identifier not valid', 0x86: 'Bad user name or password', 0x87: 'Not authorized',
    0x88: 'Server unavailable', 0x89: 'Server busy', 0x8a: 'Banned', 0x8b: 'Server shutting down',
    0x8d: 'Keep alive timeout', 0x8e: 'Session taken over', 0x8f: 'Topic filter not valid',
    0x90: 'Topic name not valid', 0x92: 'Packet identifier not found', 0x93: 'Receive maximum exceeded',
    0x95: 'Packet too large', 0x96: 'Message rate too high', 0x97: 'Quota exceeded', 0x98: 'Administrative action',
    0x99: 'Payload format not valid', 0x9a: 'Retain not supported', 0x9b: 'QoS not supported', 0x9d: 'Server moved',
};

/** A refusal or a failure: `reasonCode` as in §2.4, or 0 when the network and not the peer is at fault. */
export class MQTTError extends Error {
    name = 'MQTTError';
    constructor(reasonCode, detail) {
        super(detail || reasonNames[reasonCode] || `Reason 0x${reasonCode.toString(16)}`);
        this.reasonCode = reasonCode;
    }
}
const malformed = detail => new MQTTError(0x81, detail);
const protocolError = detail => new MQTTError(0x82, detail);
const refusedBy = ({ reasonCode, properties }) =>
    Object.assign(new MQTTError(reasonCode, properties.reasonString), { isFromServer: true });

// Primitives (§1.5). Each writer returns its bytes; a packet is the concatenation of its parts.
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }); // Keeps U+FEFF [MQTT-1.5.4-3].

const concat = parts => {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((offset, part) => (whole.set(part, offset), offset + part.length), 0);
    return whole;
};
const toBytes = value => (typeof value === 'string' ? textEncoder.encode(value) : new Uint8Array(value));
const varint = n => {
    const bytes = [];
    for (; n > 0x7f; n >>>= 7) bytes.push(n & 0x7f | 0x80);
    return Uint8Array.of(...bytes, n);
};
const byte = n => Uint8Array.of(n);
const uint16 = n => Uint8Array.of(n >> 8, n);
const uint32 = n => Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);
const binary = value => {
    const bytes = toBytes(value);
    if (bytes.length > 0xffff) throw new RangeError('A string or binary field holds at most 65,535 bytes');
    return concat([uint16(bytes.length), bytes]);
};
const string = text => {
    if (text.includes('\0')) throw new RangeError('A string must not hold U+0000');
    return binary(text);
};
const pair = ([name, value]) => concat([string(name), string(value)]);

/** Reads the fields of one packet; running over its end means that the packet lies about itself. */
class FieldReader {
    constructor(bytes) { this.bytes = bytes; this.offset = 0; }
    get left() { return this.bytes.length - this.offset; }
    take(count) {
        if (count > this.left) throw malformed('A field reaches over the end of its packet');
        return this.bytes.subarray(this.offset, this.offset += count);
    }
    byte() { return this.take(1)[0]; }
    uint16() { const [a, b] = this.take(2); return a << 8 | b; }
    packetID() {
        const packetID = this.uint16();
        if (packetID === 0) throw protocolError('A packet identifier is 0');
        return packetID;
    }
    uint32() { return this.uint16() * 0x10000 + this.uint16(); }
    varint() {
        for (let value = 0, shift = 0; shift < 28; shift += 7) {
            const next = this.byte();
            value |= (next & 0x7f) << shift;
            if (next < 0x80) return value;
        }
        throw malformed('A variable byte integer is longer than four bytes');
    }
    binary() { return this.take(this.uint16()).slice(); }
    string() {
        const bytes = this.take(this.uint16());
        if (bytes.includes(0)) throw malformed('A string holds U+0000');
        try { return textDecoder.decode(bytes); } catch { throw malformed('A string is not UTF-8'); }
    }
    pair() { return [this.string(), this.string()]; }
}

// Properties (§2.2.2) by the kind of their value. A packet's properties are a plain object with these names;
// `userProperties` is an array of [name, value], and `subscriptionID` is an array in what was received.
const propertyWriters = { byte, uint16, uint32, varint, binary, string, pair };
const propertiesByKind = {
    byte: { payloadFormat: 0x01, requestProblemInformation: 0x17, requestResponseInformation: 0x19, maximumQoS: 0x24,
        retainAvailable: 0x25, wildcardAvailable: 0x28, subscriptionIDAvailable: 0x29, sharedAvailable: 0x2a },
    uint16: { serverKeepAlive: 0x13, receiveMaximum: 0x21, topicAliasMaximum: 0x22, topicAlias: 0x23 },
    uint32: { messageExpiry: 0x02, sessionExpiry: 0x11, willDelay: 0x18, maximumPacketSize: 0x27 },
    varint: { subscriptionID: 0x0b },
    binary: { correlationData: 0x09, authenticationData: 0x16 },
    string: { contentType: 0x03, responseTopic: 0x08, assignedClientID: 0x12, authenticationMethod: 0x15,
        responseInformation: 0x1a, serverReference: 0x1c, reasonString: 0x1f },
    pair: { userProperties: 0x26 },
};
const propertyTable = Object.entries(propertiesByKind).flatMap(([kind, ids]) =>
    Object.entries(ids).map(([name, id]) => ({ name, id, kind })));

const encodeProperties = (properties = {}) => {
    const given = Object.entries(properties).filter(([, value]) => value !== undefined);
    const bytes = concat(given.flatMap(([name, value]) => {
        const { id, kind } = propertyTable.find(one => one.name === name) ?? {};
        if (!id) throw new TypeError(`There is no property ${name}`);
        return (kind === 'pair' ? value : [value]).flatMap(one => [byte(id), propertyWriters[kind](one)]);
    }));
    return concat([varint(bytes.length), bytes]);
};

const decodeProperties = reader => {
    const fields = new FieldReader(reader.take(reader.varint()));
    const properties = {};
    while (fields.left > 0) {
        const id = fields.varint();
        const { name, kind } = propertyTable.find(one => one.id === id) ?? {};
        if (!name) throw malformed('A property has an unknown identifier');
        const value = fields[kind]();
        if (name === 'userProperties' || name === 'subscriptionID') (properties[name] ??= []).push(value);
        else if (name in properties) throw protocolError(`The property ${name} is there twice`);
        else properties[name] = value;
    }
    return properties;
};

// Packets (§3). A packet is a plain object with a `type`; the lists below hold what a client sends and receives.
const packetTypes = ('reserved connect connack publish puback pubrec pubrel pubcomp '
    + 'subscribe suback unsubscribe unsuback pingreq pingresp disconnect auth').split(' ');

// The packet id is there unless it is a DISCONNECT; the short forms leave out a reason of 0 (§3.4.2.1, §3.14.2.1).
const encodeReason = ({ type, packetID, reasonCode = 0, properties }) => {
    const head = [type === 'pubrel' ? 2 : 0, ...(packetID === undefined ? [] : [uint16(packetID)])];
    if (properties) return [...head, byte(reasonCode), encodeProperties(properties)];
    return reasonCode === 0 ? head : [...head, byte(reasonCode)];
};

/** Every encoder returns [flags of the fixed header, ...parts of the body]. */
const encoders = {
    connect({ clientID, cleanStart, keepAlive, username, password, will, properties }) {
        const willFlags = will ? 0x04 | (will.qos ?? 0) << 3 | (will.retain ? 0x20 : 0) : 0;
        const flags = cleanStart << 1 | willFlags | (password !== undefined) << 6 | (username !== undefined) << 7;
        const parts = [string('MQTT'), byte(5), byte(flags), uint16(keepAlive), encodeProperties(properties)];
        parts.push(string(clientID));
        if (will) parts.push(encodeProperties(will.properties), string(will.topic), binary(will.payload ?? ''));
        if (username !== undefined) parts.push(string(username));
        if (password !== undefined) parts.push(binary(password));
        return [0, ...parts];
    },
    publish({ topic, payload, qos = 0, retain = false, duplicate = false, packetID, properties }) {
        const id = qos > 0 ? [uint16(packetID)] : [];
        return [duplicate << 3 | qos << 1 | retain, string(topic), ...id, encodeProperties(properties), payload];
    },
    subscribe({ packetID, filter, qos, noLocal, retainAsPublished, retainHandling, properties }) {
        const options = qos | noLocal << 2 | retainAsPublished << 3 | retainHandling << 4; // Undefined counts as 0.
        return [2, uint16(packetID), encodeProperties(properties), string(filter), byte(options)];
    },
    unsubscribe: ({ packetID, filter, properties }) =>
        [2, uint16(packetID), encodeProperties(properties), string(filter)],
    puback: encodeReason, pubrec: encodeReason, pubrel: encodeReason, pubcomp: encodeReason, disconnect: encodeReason,
    pingreq: () => [0],
};

/** The bytes of a packet that a client may send. Throws RangeError when a field does not fit into the wire format. */
export function encodePacket(packet) {
    const [flags, ...parts] = encoders[packet.type](packet);
    const body = concat(parts);
    if (body.length > 0x0fffffff) throw new RangeError('A packet holds at most 268,435,455 bytes');
    return concat([byte(packetTypes.indexOf(packet.type) << 4 | flags), varint(body.length), body]);
}

const decodeReason = reader => (
    { reasonCode: reader.left > 0 ? reader.byte() : 0, properties: reader.left > 0 ? decodeProperties(reader) : {} });
const decodeAck = reader => ({ packetID: reader.packetID(), ...decodeReason(reader) });
const decodeGrants = reader => (
    { packetID: reader.packetID(), properties: decodeProperties(reader), reasonCodes: [...reader.take(reader.left)] });

const decoders = {
    connack(reader) {
        const flags = reader.byte();
        if (flags > 1) throw malformed('CONNACK has reserved bits set'); // [MQTT-3.2.2-1]
        const reasonCode = reader.byte(), properties = decodeProperties(reader);
        if (properties.receiveMaximum === 0 || properties.maximumPacketSize === 0) throw protocolError();
        return { sessionPresent: flags === 1, reasonCode, properties };
    },
    publish(reader, flags) {
        const packet = { duplicate: flags > 7, qos: flags >> 1 & 3, retain: (flags & 1) === 1, topic: reader.string() };
        if (packet.qos === 3) throw malformed('QoS is 3'); // [MQTT-3.3.1-4]
        if (packet.duplicate && packet.qos === 0) throw malformed('DUP is set with QoS 0'); // [MQTT-3.3.1-2]
        if (/[+#]/.test(packet.topic)) throw new MQTTError(0x90); // [MQTT-3.3.2-2]
        if (packet.qos > 0) packet.packetID = reader.packetID();
        packet.properties = decodeProperties(reader);
        // We announce no topic alias maximum, so the server must not use any [MQTT-3.3.2-9].
        if (packet.properties.topicAlias !== undefined) throw new MQTTError(0x94);
        if (packet.topic === '') throw protocolError('A topic is empty');
        packet.payload = reader.take(reader.left).slice();
        return packet;
    },
    puback: decodeAck, pubrec: decodeAck, pubrel: decodeAck, pubcomp: decodeAck,
    suback: decodeGrants, unsuback: decodeGrants, pingresp: () => ({}), disconnect: decodeReason,
};

/** Cuts a stream into packets: a frame of the WebSocket may hold half a packet or ten of them [MQTT-6.0.0-2]. */
export class PacketReader {
    #chunks = []; #length = 0; #needed = 2;

    /** A packet that announces more than `maximumPacketSize` bytes throws reason 0x95. */
    constructor(maximumPacketSize = Infinity) { this.maximumPacketSize = maximumPacketSize; }
    /** Takes what has arrived; the packets come out of `next`. */
    append(bytes) { this.#chunks.push(bytes); this.#length += bytes.length; }

    /** The next whole packet, undefined when bytes are missing. After an MQTTError the stream is of no more use. */
    next() {
        // Joining only once enough is there keeps a large packet in small frames from being copied for each of them.
        if (this.#length < this.#needed) return undefined;
        const bytes = this.#chunks.length === 1 ? this.#chunks[0] : concat(this.#chunks);
        this.#chunks = [bytes];
        const lengthEnd = bytes.subarray(1, 5).findIndex(one => one < 0x80) + 2;
        if (lengthEnd === 1 && bytes.length >= 5) throw malformed('The remaining length is longer than four bytes');
        this.#needed = lengthEnd === 1 ? bytes.length + 1 : lengthEnd + new FieldReader(bytes.subarray(1)).varint();
        if (this.#needed > this.maximumPacketSize) throw new MQTTError(0x95);
        if (bytes.length < this.#needed) return undefined;
        const reader = new FieldReader(bytes.subarray(lengthEnd, this.#needed));
        this.#chunks = [bytes.subarray(this.#needed)];
        this.#length -= this.#needed;
        this.#needed = 2;
        const type = packetTypes[bytes[0] >> 4], flags = bytes[0] & 0x0f;
        if (!decoders[type]) throw protocolError(`A server does not send ${type.toUpperCase()} to us`);
        if (type !== 'publish' && flags !== (type === 'pubrel' ? 2 : 0)) throw malformed('Reserved flags are set');
        const packet = { type, ...decoders[type](reader, flags) };
        if (reader.left > 0) throw malformed('A packet is longer than its fields');
        return packet;
    }
}

// The client.
/** Refusals that another attempt would only repeat; 0x8E would make two pages steal the session from each other. */
const finalReasons = new Set([0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c, 0x8e]);
const toBase64 = bytes => btoa(Array.from(bytes, code => String.fromCharCode(code)).join(''));
const fromBase64 = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));

/**
 * One session with one broker. It reconnects by itself until `end` or until the broker refuses for good. Events:
 * - `state` (state): 'connecting', 'online', 'waiting' (until the next attempt) or 'stopped'.
 * - `online` ({sessionPresent, properties}): CONNACK. What the listener sends leaves before the publishes that wait.
 * - `offline` ({error, retryIn}): the connection or the attempt is over; `retryIn` in ms, undefined if it was final.
 * - `message` ({topic, payload, qos, retain, duplicate, packetID, properties}): a PUBLISH; `payload` is a Uint8Array.
 * - `turn` (): all of one WebSocket frame was handed out; its acknowledgements leave after the listeners have returned,
 *   so what these write down is safe first. One that throws has not kept it: nothing of the frame is acknowledged, the
 *   connection ends with that error, and the broker sends it again.
 * - `settled` ({tag, error}): a publish of QoS 1 or 2 is over, one of before a reload included; `error` if refused.
 */
export class MQTTClient {
    #options; #listeners = {};
    #state = 'stopped'; #socket; #reader; #timers = {}; #attempt = 0; #onlineSince = Infinity; #firstConnect;
    #server = {}; #outbox = []; #isInTurn = false; #unacknowledged = 0; #isPingOpen = false; #requests = new Map();
    #outgoing = []; #incoming = new Set(); #lastPacketID = 0;

    /**
     * @param {{url: string}} options ws: or wss: address, and what follows.
     * @param {string} [options.clientID] empty: the broker assigns one, see `clientID`.
     * @param {boolean} [options.cleanStart] forget the session of before at the first connection; default true.
     * @param {number} [options.sessionExpiry] seconds that the broker keeps the session without us; default 0.
     * @param {number} [options.keepAlive] seconds; a dead connection is noticed within that time; default 30.
     * @param {number} [options.receiveMaximum] unacknowledged messages that the broker may send us; default 100.
     * @param {number} [options.maximumPacketSize] largest packet that we take, in bytes; default 1 MiB.
     * @param {number} [options.maximumWaiting] publishes that may wait; more are refused (0x97); default 1,000.
     * @param {string} [options.username] as `password`, `will` ({topic, payload, qos, retain, properties}) and
     *   `userProperties` ([[name, value], ...]) sent with CONNECT.
     * @param {false|{minimum: number, maximum: number}} [options.reconnect] bounds of the back-off in ms; false: never.
     * @param {number} [options.connectTimeout] ms until CONNACK; default 10,000.
     * @param {{load: function(): any, save: function(any)}} [options.store] keeps our half of the session, a JSON
     *   value, over a reload: publishes that wait for an answer and the packet ids of QoS 2.
     * @param {function(string): WebSocket} [options.openSocket] for other WebSocket implementations.
     */
    constructor(options) {
        this.#options = {
            clientID: '', cleanStart: true, sessionExpiry: 0, keepAlive: 30, receiveMaximum: 100,
            maximumPacketSize: 1 << 20, maximumWaiting: 1000, reconnect: { minimum: 500, maximum: 30_000 },
            connectTimeout: 10_000, openSocket: url => new WebSocket(url, 'mqtt'), ...options,
        };
        const saved = this.#options.store?.load() ?? { outgoing: [], incoming: [], lastPacketID: 0 };
        this.#outgoing = saved.outgoing.map(entry => ({ ...entry, payload: fromBase64(entry.payload) }));
        this.#incoming = new Set(saved.incoming);
        this.#lastPacketID = saved.lastPacketID;
    }

    get state() { return this.#state; }
    get clientID() { return this.#options.clientID; } // The one that the broker assigned if we had none.
    get waitingTags() { return this.#outgoing.map(entry => entry.tag); } // Of what is not settled yet, oldest first.
    /** Calls `listener` at every `event`; returns a function that takes it off again. */
    on(event, listener) {
        (this.#listeners[event] ??= new Set()).add(listener);
        return () => this.#listeners[event].delete(listener);
    }

    /** Starts. Resolves at the first CONNACK; rejects when the broker refuses for good or `end` comes first. */
    connect() {
        if (this.#state !== 'stopped') return Promise.reject(new MQTTError(0, 'Already started'));
        this.#attempt = 0;
        const promise = new Promise((resolve, reject) => { this.#firstConnect = { resolve, reject }; });
        promise.catch(() => {}); // Those who listen to events need not look at the promise.
        this.#open();
        return promise;
    }

    /** Call it when the page wakes up or the network returns: tries at once, or asks whether the broker is there. */
    wake() {
        if (this.#state === 'waiting') this.#open(); else if (this.#state === 'online') this.#ping();
    }

    /** Says good-bye; `sessionExpiry` (s) changes how long the session stays. What waits stays in the store. */
    end({ sessionExpiry } = {}) {
        const properties = sessionExpiry === undefined ? undefined : { sessionExpiry };
        if (this.#state === 'online') this.#send({ type: 'disconnect', properties });
        this.#flush();
        this.#lose(new MQTTError(0, 'The client has ended'), { isFinal: true });
        for (const entry of this.#outgoing) entry.reject?.(new MQTTError(0, 'The client has ended'));
    }

    /**
     * Publishes a string, Uint8Array or ArrayBuffer. QoS 0 resolves once it is handed to the network and rejects when
     * there is none. QoS 1 and 2 wait for their turn and for the network, survive reconnects, and resolve with the
     * broker's final acknowledgement; they reject with its MQTTError. `tag` (JSON) names the publish in `settled`.
     */
    publish(topic, payload = '', { qos = 0, retain = false, properties, tag } = {}) {
        const promise = new Promise((resolve, reject) => {
            if (topic === '' || /[+#\0]/.test(topic)) throw new MQTTError(0x90);
            const message = { topic, payload: toBytes(payload), qos, retain, properties };
            encodePacket({ ...message, type: 'publish', packetID: 1 }); // What cannot be encoded is refused at once.
            const entry = { ...message, tag, phase: 'waiting', resolve, reject };
            if (qos === 0) {
                const refusal = this.#state === 'online' ? this.#refusal(entry) : new MQTTError(0, 'Not connected');
                if (refusal) throw refusal;
                return resolve(this.#send({ ...entry, type: 'publish' }));
            }
            if (this.#outgoing.length >= this.#options.maximumWaiting) throw new MQTTError(0x97, 'Too much waits');
            this.#outgoing.push(entry);
            try { this.#save({ isAcceptance: true }); } catch (error) {
                this.#outgoing.pop();
                this.#save(); // The store may have kept what it complained about.
                throw error;
            }
            this.#sendWaiting();
        });
        if (qos > 0) promise.catch(() => {}); // `settled` tells it as well, so nobody has to look here.
        return promise;
    }

    /** Subscribes to one filter; resolves with the QoS that was granted, rejects with MQTTError. Subscriptions belong
     *  to the session: repeat them at `online` unless it was present. `options`: qos, noLocal, retainAsPublished,
     *  retainHandling (0...2), properties. */
    subscribe(filter, options = {}) { return this.#request({ ...options, type: 'subscribe', filter }); }
    /** Takes a subscription back; rejects with MQTTError. */
    unsubscribe(filter, options = {}) { return this.#request({ ...options, type: 'unsubscribe', filter }); }

    #emit(event, value) {
        for (const listener of [...(this.#listeners[event] ?? [])]) {
            // A listener that throws must be seen, but must not take the session down.
            try { listener(value); } catch (error) { setTimeout(() => { throw error; }); }
        }
    }

    #setState(state) { if (state !== this.#state) this.#emit('state', this.#state = state); }

    /** A store that fails half-way must not stop the conversation (memory is right, only a reload would repeat); at the
     *  acceptance of a publish it must, or we would promise what a reload loses. */
    #save({ isAcceptance = false } = {}) {
        const outgoing = this.#outgoing.map(({ resolve, reject, isLive, ...entry }) => (
            { ...entry, payload: toBase64(entry.payload) }));
        const session = { outgoing, incoming: [...this.#incoming], lastPacketID: this.#lastPacketID };
        try { this.#options.store?.save(session); } catch (error) { if (isAcceptance) throw error; }
    }

    #open() {
        clearTimeout(this.#timers.retry);
        this.#setState('connecting');
        const { url, openSocket, connectTimeout, ...options } = this.#options;
        const { sessionExpiry, receiveMaximum, maximumPacketSize, userProperties } = options;
        const properties = { sessionExpiry, receiveMaximum, maximumPacketSize, userProperties };
        let socket;
        try { socket = openSocket(url); } catch (error) { return this.#lose(error, { isFinal: true }); }
        this.#socket = socket;
        this.#reader = new PacketReader(maximumPacketSize);
        socket.binaryType = 'arraybuffer';
        // Events of a socket that we have given up are nobody's business any more.
        const whileCurrent = action => event => { if (socket === this.#socket) action(event); };
        socket.onopen = whileCurrent(() => this.#send({ ...options, type: 'connect', properties }));
        socket.onmessage = whileCurrent(({ data }) => this.#receive(data));
        socket.onclose = whileCurrent(({ reason }) => this.#lose(new MQTTError(0, reason || 'The connection is lost')));
        this.#timers.connect = setTimeout(() => this.#lose(new MQTTError(0, 'No answer to CONNECT')), connectTimeout);
    }

    /** The connection or the attempt is over. */
    #lose(error, { isFinal = false } = {}) {
        if (this.#state === 'stopped') return;
        const { reconnect } = this.#options;
        for (const timer of Object.values(this.#timers)) clearTimeout(timer);
        const socket = this.#socket;
        this.#socket = undefined;
        socket?.close();
        for (const { reject } of this.#requests.values()) reject(error);
        this.#requests.clear();
        for (const entry of this.#outgoing) entry.isLive = false;
        if (isFinal || !reconnect || error.isFromServer && finalReasons.has(error.reasonCode)) {
            this.#firstConnect.reject(error);
            this.#setState('stopped');
            return this.#emit('offline', { error });
        }
        // Only a connection that lasted counts as a success, or a broker that drops us at once would be hammered.
        if (Date.now() - this.#onlineSince > 10_000) this.#attempt = 0;
        this.#onlineSince = Infinity;
        const ceiling = Math.min(reconnect.maximum, reconnect.minimum * 2 ** this.#attempt++);
        const retryIn = ceiling * (0.5 + Math.random() / 2); // Jitter, so that a thousand pages do not return at once.
        this.#timers.retry = setTimeout(() => this.#open(), retryIn);
        this.#setState('waiting');
        this.#emit('offline', { error, retryIn });
    }

    #receive(data) {
        const socket = this.#socket;
        this.#isPingOpen = false; // Whatever it is, somebody is there.
        this.#isInTurn = true;
        this.#unacknowledged = 0;
        const incomingBefore = new Set(this.#incoming);
        let failure;
        try {
            if (typeof data === 'string') throw protocolError('A text frame'); // [MQTT-6.0.0-1]
            this.#reader.append(new Uint8Array(data));
            for (let packet; socket === this.#socket && (packet = this.#reader.next());) this.#handle(packet);
        } catch (error) { failure = error; }
        const refusal = this.#endTurn(incomingBefore); // After a failure too: acknowledgements leave all the same.
        failure ??= refusal;
        this.#isInTurn = false;
        const { reasonCode = 0x83, isFromServer } = failure ?? {};
        if (failure && !isFromServer && this.#state === 'online') this.#send({ type: 'disconnect', reasonCode });
        this.#flush();
        if (failure) this.#lose(failure);
    }

    /** Why a listener could not keep what this turn handed out, if it could not; then nothing is acknowledged. */
    #endTurn(incomingBefore) {
        try { for (const listener of [...(this.#listeners.turn ?? [])]) listener(); } catch (error) {
            this.#outbox = [];
            this.#incoming = incomingBefore;
            this.#save();
            return error;
        }
    }

    #handle(packet) {
        if ((this.#state === 'connecting') !== (packet.type === 'connack')) throw protocolError('Out of place');
        if (packet.type === 'disconnect') throw refusedBy(packet);
        ({
            connack: () => this.#handleConnack(packet),
            publish: () => this.#handlePublish(packet),
            puback: () => this.#settle(packet, 'published'),
            pubrec: () => this.#handlePubrec(packet),
            pubrel: () => this.#handlePubrel(packet),
            pubcomp: () => this.#settle(packet, 'released'),
            suback: () => this.#answerRequest(packet), unsuback: () => this.#answerRequest(packet),
        })[packet.type]?.();
    }

    #handleConnack(packet) {
        if (packet.reasonCode >= 0x80) throw refusedBy(packet);
        clearTimeout(this.#timers.connect);
        const { properties, sessionPresent } = packet;
        const defaults = { receiveMaximum: 0xffff, maximumPacketSize: Infinity, maximumQoS: 2, retainAvailable: 1 };
        this.#server = { ...defaults, ...properties };
        this.#options.clientID = properties.assignedClientID ?? this.#options.clientID;
        // A clean start is for the first connection; what happens afterwards belongs to this session.
        if (this.#options.sessionExpiry > 0) this.#options.cleanStart = false;
        this.#onlineSince = Date.now();
        if (!sessionPresent) this.#forgetSession();
        const keepAlive = properties.serverKeepAlive ?? this.#options.keepAlive; // [MQTT-3.1.2-21]
        if (keepAlive > 0) this.#timers.keepAlive = setInterval(() => this.#checkLife(), keepAlive * 500);
        this.#setState('online');
        this.#emit('online', { sessionPresent, properties });
        this.#firstConnect.resolve();
        this.#sendWaiting();
    }

    /** The broker has lost the session: packet ids mean nothing any more and publishes start anew. */
    #forgetSession() {
        this.#incoming.clear();
        // Whoever sent PUBREC owns the message; sending it again would make two of it.
        for (const entry of this.#outgoing.filter(({ phase }) => phase === 'released')) this.#finish(entry);
        for (const entry of this.#outgoing) Object.assign(entry, { phase: 'waiting', packetID: undefined });
        this.#save();
    }

    #handlePublish(packet) {
        const { qos, packetID } = packet;
        const isRepeated = qos === 2 && this.#incoming.has(packetID);
        if (qos === 1) this.#unacknowledged += 1;
        if (qos === 2) this.#incoming.add(packetID);
        // [MQTT-3.3.4-9] what this turn acknowledges has not left yet, so it counts.
        if (this.#unacknowledged + this.#incoming.size > this.#options.receiveMaximum) throw new MQTTError(0x93);
        if (!isRepeated) this.#emit('message', packet);
        if (qos === 2) this.#save();
        if (qos > 0) this.#send({ type: qos === 1 ? 'puback' : 'pubrec', packetID });
    }

    #handlePubrel({ packetID }) {
        const reasonCode = this.#incoming.delete(packetID) ? 0 : 0x92;
        this.#save();
        this.#send({ type: 'pubcomp', packetID, reasonCode });
    }

    #handlePubrec({ packetID, reasonCode, properties }) {
        const entry = this.#outgoing.find(one => one.packetID === packetID && one.qos === 2);
        if (!entry) return this.#send({ type: 'pubrel', packetID, reasonCode: 0x92 });
        if (reasonCode >= 0x80) return this.#settle({ packetID, reasonCode, properties }, entry.phase);
        Object.assign(entry, { phase: 'released', payload: new Uint8Array() });
        this.#save();
        this.#send({ type: 'pubrel', packetID });
    }

    #settle(packet, phase) {
        const entry = this.#outgoing.find(one => one.packetID === packet.packetID && one.phase === phase);
        if (!entry) return; // An acknowledgement of before; nothing waits for it.
        this.#finish(entry, packet.reasonCode >= 0x80 ? refusedBy(packet) : undefined);
        this.#sendWaiting();
    }

    #finish(entry, error) {
        if (!this.#outgoing.includes(entry)) return; // A listener was faster.
        this.#outgoing = this.#outgoing.filter(one => one !== entry);
        // First tell, then forget: a page that dies in between sends once more, which the packet id makes harmless.
        this.#emit('settled', { tag: entry.tag, error });
        this.#save();
        if (error) entry.reject?.(error); else entry.resolve?.();
    }

    /** Why the broker of this connection would not take the publish, if it would not. */
    #refusal(entry) {
        const { maximumQoS, retainAvailable, maximumPacketSize } = this.#server;
        if (entry.qos > maximumQoS) return new MQTTError(0x9b); // [MQTT-3.2.2-11]
        if (entry.retain && !retainAvailable) return new MQTTError(0x9a); // [MQTT-3.2.2-14]
        const size = encodePacket({ ...entry, type: 'publish', packetID: 1 }).length;
        return size > maximumPacketSize ? new MQTTError(0x95) : undefined; // [MQTT-3.2.2-15]
    }

    /** Sends in order what this connection has not seen yet: first what must be repeated, then what is new. */
    #sendWaiting() {
        if (this.#state !== 'online') return;
        let room = this.#server.receiveMaximum - this.#outgoing.filter(({ isLive }) => isLive).length;
        const packets = [], refusals = [];
        for (const entry of this.#outgoing.filter(({ isLive }) => !isLive)) {
            if (room <= 0) break; // [MQTT-3.3.4-7]
            const refusal = entry.phase === 'released' ? undefined : this.#refusal(entry);
            if (refusal) { refusals.push([entry, refusal]); continue; }
            const duplicate = entry.phase === 'published'; // [MQTT-3.3.1-1], [MQTT-4.4.0-1]
            if (entry.phase === 'waiting') Object.assign(entry, { phase: 'published', packetID: this.#freePacketID() });
            entry.isLive = true;
            room -= 1;
            const type = entry.phase === 'released' ? 'pubrel' : 'publish';
            packets.push(type === 'pubrel' ? { type, packetID: entry.packetID } : { ...entry, type, duplicate });
        }
        if (packets.length > 0) this.#save(); // The packet ids are written down before anyone sees them.
        for (const packet of packets) this.#send(packet);
        for (const [entry, refusal] of refusals) this.#finish(entry, refusal); // Last, as listeners may publish.
    }

    #freePacketID() {
        const isUsed = id => this.#requests.has(id) || this.#outgoing.some(({ packetID }) => packetID === id);
        do this.#lastPacketID = this.#lastPacketID % 0xffff + 1; while (isUsed(this.#lastPacketID));
        return this.#lastPacketID;
    }

    #request(packet) {
        return new Promise((resolve, reject) => {
            if (this.#state !== 'online') throw new MQTTError(0, 'Not connected');
            const packetID = this.#freePacketID();
            this.#send({ ...packet, packetID });
            this.#requests.set(packetID, { type: packet.type, resolve, reject });
        });
    }

    #answerRequest(packet) {
        const { type, resolve, reject } = this.#requests.get(packet.packetID) ?? {};
        if (packet.type !== (type === 'subscribe' ? 'suback' : 'unsuback') || !type) throw protocolError();
        this.#requests.delete(packet.packetID);
        const [reasonCode = 0x80] = packet.reasonCodes;
        if (reasonCode >= 0x80) reject(refusedBy({ ...packet, reasonCode })); else resolve(reasonCode);
    }

    #ping() { this.#isPingOpen = true; this.#send({ type: 'pingreq' }); }
    /** Runs twice per keep-alive: a PINGREQ that half of it left unanswered means that nobody is there. */
    #checkLife() { if (this.#isPingOpen) this.#lose(new MQTTError(0, 'No answer to PINGREQ')); else this.#ping(); }

    #send(packet) {
        this.#outbox.push(encodePacket(packet));
        if (!this.#isInTurn) this.#flush();
    }

    /** Everything that a turn wants to say leaves in one frame. */
    #flush() {
        const bytes = concat(this.#outbox.splice(0));
        if (bytes.length > 0) this.#socket?.send(bytes);
    }
}
