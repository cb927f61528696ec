// Run with `node --test web/mqtt/`. Needs Debian's mosquitto: a real broker is the only judge of a client.

import assert from 'node:assert/strict';
import { after, before, mock, test } from 'node:test';
import { encodePacket, MQTTClient, MQTTError, PacketReader } from './mqtt.js';
import { Mosquitto, NodeWebSocket, ScriptedSocket } from './testing.js';

const hex = bytes => Buffer.from(bytes).toString('hex');
const unhex = text => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const text = bytes => Buffer.from(bytes).toString();
const next = (client, event) => new Promise(resolve => {
    const off = client.on(event, value => { off(); resolve(value); });
});
const decode = bytes => {
    const reader = new PacketReader();
    reader.append(unhex(bytes));
    return reader.next();
};

// Bytes of what a client sends, written from the tables of the standard.
const encoded = [
    ['CONNECT, the shortest', { type: 'connect', clientID: '', cleanStart: true, keepAlive: 0 },
        '10 0d 0004 4d515454 05 02 0000 00 0000'],
    ['CONNECT with everything', {
        type: 'connect', clientID: 'a', cleanStart: false, keepAlive: 60, username: 'u', password: 'p',
        will: { topic: 'w', payload: 'x', qos: 1, retain: true, properties: { willDelay: 5 } },
        properties: { sessionExpiry: 604800, receiveMaximum: 100, userProperties: [['k', 'v']] },
    }, '10 2f 0004 4d515454 05 ec 003c' + '0f 11 00093a80 21 0064 26 0001 6b 0001 76' + '0001 61'
        + '05 18 00000005 0001 77 0001 78' + '0001 75 0001 70'],
    ['PUBLISH QoS 0', { type: 'publish', topic: 'a/b', payload: unhex('6869') }, '30 08 0003 612f62 00 6869'],
    ['PUBLISH QoS 2 with DUP and RETAIN', {
        type: 'publish', topic: 'a', payload: unhex(''), qos: 2, duplicate: true, retain: true, packetID: 258,
    }, '3d 06 0001 61 0102 00'],
    ['PUBACK', { type: 'puback', packetID: 1 }, '40 02 0001'],
    ['PUBREC with a reason', { type: 'pubrec', packetID: 1, reasonCode: 0x92 }, '50 03 0001 92'],
    ['PUBREL has flags 2', { type: 'pubrel', packetID: 1 }, '62 02 0001'],
    ['PUBCOMP', { type: 'pubcomp', packetID: 65535 }, '70 02 ffff'],
    ['SUBSCRIBE with all options', {
        type: 'subscribe', packetID: 10, filter: 'a/#', qos: 1, noLocal: true, retainAsPublished: true, retainHandling: 2,
    }, '82 09 000a 00 0003 612f23 2d'],
    ['UNSUBSCRIBE', { type: 'unsubscribe', packetID: 10, filter: 'a' }, 'a2 06 000a 00 0001 61'],
    ['PINGREQ', { type: 'pingreq' }, 'c0 00'],
    ['DISCONNECT', { type: 'disconnect' }, 'e0 00'],
    ['DISCONNECT with session expiry', { type: 'disconnect', properties: { sessionExpiry: 0 } }, 'e0 07 00 05 11 00000000'],
];
for (const [name, packet, bytes] of encoded) {
    test(`encodes ${name}`, () => assert.equal(hex(encodePacket(packet)), bytes.replaceAll(' ', '')));
}

test('the remaining length takes one to three bytes as the body grows', () => {
    for (const [payload, length] of [[123, '7f'], [124, '8001'], [16379, 'ff7f'], [16380, '808001']]) {
        const bytes = encodePacket({ type: 'publish', topic: 'a', payload: new Uint8Array(payload) });
        assert.equal(hex(bytes).slice(2, 2 + length.length), length);
    }
});

test('what does not fit into the wire format is refused', () => {
    assert.throws(() => encodePacket({ type: 'subscribe', packetID: 1, filter: 'x'.repeat(65536) }), RangeError);
    assert.throws(() => encodePacket({ type: 'subscribe', packetID: 1, filter: 'a\0' }), RangeError);
    assert.throws(() => encodePacket({ type: 'subscribe', packetID: 1, filter: 'a', properties: { colour: 1 } }), TypeError);
});

const decoded = [
    ['CONNACK with properties', '20 12 01 00 0f 12 0001 61 21 0014 13 003c 27 00010000', {
        type: 'connack', sessionPresent: true, reasonCode: 0,
        properties: { assignedClientID: 'a', receiveMaximum: 20, serverKeepAlive: 60, maximumPacketSize: 65536 },
    }],
    ['PUBLISH QoS 1 with DUP', '3a 08 0001 61 0007 00 6869', {
        type: 'publish', duplicate: true, qos: 1, retain: false, topic: 'a', packetID: 7, properties: {},
        payload: unhex('6869'),
    }],
    ['PUBLISH with properties that repeat', '30 15 0001 61 11 0b 01 0b 8001 26 0001 6b 0001 76 26 0000 0000', {
        type: 'publish', duplicate: false, qos: 0, retain: false, topic: 'a', payload: unhex(''),
        properties: { subscriptionID: [1, 128], userProperties: [['k', 'v'], ['', '']] },
    }],
    ['PUBACK, short form', '40 02 0001', { type: 'puback', packetID: 1, reasonCode: 0, properties: {} }],
    ['PUBACK with a reason string', '40 08 0001 87 04 1f 0001 6e', {
        type: 'puback', packetID: 1, reasonCode: 0x87, properties: { reasonString: 'n' },
    }],
    ['SUBACK', '90 04 0001 00 02', { type: 'suback', packetID: 1, properties: {}, reasonCodes: [2] }],
    ['PINGRESP', 'd0 00', { type: 'pingresp' }],
    ['DISCONNECT without a reason', 'e0 00', { type: 'disconnect', reasonCode: 0, properties: {} }],
    ['a string with a byte order mark', '30 07 0004 efbbbf61 00', {
        type: 'publish', duplicate: false, qos: 0, retain: false, topic: '\ufeffa', properties: {}, payload: unhex(''),
    }],
];
for (const [name, bytes, packet] of decoded) test(`decodes ${name}`, () => assert.deepEqual(decode(bytes), packet));

const wrong = [
    ['CONNACK with reserved bits', '20 03 02 00 00', 0x81],
    ['a receive maximum of 0', '20 06 00 00 03 21 0000', 0x82],
    ['PUBLISH QoS 3', '36 06 0001 61 0001 00', 0x81],
    ['DUP with QoS 0', '38 04 0001 61 00', 0x81],
    ['a wildcard in a topic', '30 04 0001 23 00', 0x90],
    ['an empty topic', '30 03 0000 00', 0x82],
    ['a topic alias, which we did not allow', '30 07 0001 61 03 23 0001', 0x94],
    ['packet id 0', '40 02 0000', 0x82],
    ['UTF-8 that is none', '30 05 0002 c328 00', 0x81],
    ['U+0000 in a string', '30 04 0001 00 00', 0x81],
    ['a field that reaches over the end', '30 02 0005', 0x81],
    ['bytes left over', 'd0 01 00', 0x81],
    ['a property twice', '20 09 00 00 06 21 0001 21 0001', 0x82],
    ['an unknown property', '20 05 00 00 02 7f 00', 0x81],
    ['reserved flags', '41 02 0001', 0x81],
    ['a packet that only clients send', 'c0 00', 0x82],
    ['a remaining length of five bytes', '30 ff ff ff ff 01', 0x81],
];
for (const [name, bytes, reasonCode] of wrong) {
    test(`refuses ${name}`, () => assert.throws(() => decode(bytes), { name: 'MQTTError', reasonCode }));
}

test('packets come out the same however the stream is cut', () => {
    const stream = unhex('20 03 00 00 00' + '30 08 0003 612f62 00 6869' + 'd0 00' + hex(encodePacket({
        type: 'publish', topic: 'long', payload: new Uint8Array(300).fill(7), qos: 1, packetID: 3 })));
    for (let size = 1; size <= stream.length; size++) {
        const reader = new PacketReader();
        const types = [];
        for (let offset = 0; offset < stream.length; offset += size) {
            reader.append(stream.subarray(offset, offset + size));
            for (let packet; (packet = reader.next());) types.push(packet.type + (packet.payload?.length ?? ''));
        }
        assert.deepEqual(types, ['connack', 'publish2', 'pingresp', 'publish300']);
    }
});

// Conversations with a scripted broker: what a real one cannot be made to do.

const scripted = (options = {}) => {
    const sockets = [];
    const client = new MQTTClient({
        url: 'ws://scripted', clientID: 'c', cleanStart: false, sessionExpiry: 60, ...options,
        openSocket: () => { sockets.push(new ScriptedSocket()); return sockets.at(-1); },
    });
    const socket = () => sockets.at(-1);
    const connack = (bytes = '20 03 00 00 00') => { socket().open(); socket().takeSent(); socket().receive(bytes); };
    client.connect();
    return { client, socket, connack, sockets };
};

test('a client obeys the receive maximum of the server, and the order', () => {
    const { client, socket, connack } = scripted();
    for (const payload of ['1', '2', '3']) client.publish('a', payload, { qos: 1 });
    connack('20 06 00 00 03 21 0002'); // Two at a time.
    assert.equal(socket().takeSent(), '320700016100010031' + '320700016100020032');
    socket().receive('40 02 0001');
    assert.equal(socket().takeSent(), '320700016100030033');
    client.end();
});

test('with the session present publishes are repeated with DUP and the same id, then the new ones follow', () => {
    const { client, socket, connack } = scripted();
    connack();
    client.publish('a', '1', { qos: 1 });
    client.publish('a', '2', { qos: 2 });
    socket().receive('50 02 0002'); // PUBREC: the second one is the broker's now.
    socket().takeSent();
    socket().drop();
    client.publish('a', '3', { qos: 1 });
    client.wake();
    connack('20 03 01 00 00');
    assert.equal(socket().takeSent(), '3a0700016100010031' + '62020002' + '320700016100030033');
    client.end();
});

test('without the session publishes start anew, and what was released counts as taken', async () => {
    const { client, socket, connack } = scripted();
    connack();
    client.publish('a', '1', { qos: 1 });
    const released = client.publish('a', '2', { qos: 2 });
    socket().receive('50 02 0002');
    socket().drop();
    client.wake();
    connack('20 03 00 00 00');
    assert.equal(socket().takeSent(), '320700016100030031');
    await released;
    client.end();
});

test('a reload takes up the publishes where the page left them', async () => {
    let saved;
    const store = { load: () => saved, save: value => { saved = JSON.parse(JSON.stringify(value)); } };
    const before = scripted({ store });
    before.connack();
    before.client.publish('a', 'ä', { qos: 1, tag: 'first' });
    before.client.publish('a', '2', { qos: 1, tag: { n: 2 } });
    const afterwards = scripted({ store });
    assert.deepEqual(afterwards.client.waitingTags, ['first', { n: 2 }]);
    const settled = next(afterwards.client, 'settled');
    afterwards.connack('20 03 01 00 00');
    assert.equal(afterwards.socket().takeSent(), '3a08000161000100c3a4' + '3a0700016100020032');
    afterwards.socket().receive('40 02 0001');
    assert.deepEqual(await settled, { tag: 'first', error: undefined });
    assert.equal(saved.outgoing.length, 1);
    for (const { client } of [before, afterwards]) client.end();
});

test('acknowledgements leave in one frame after the listeners of the turn', () => {
    const { client, socket, connack } = scripted();
    connack();
    const sentAtTurn = [];
    client.on('turn', () => sentAtTurn.push(socket().sent.length));
    socket().receive('32 06 0001 61 0001 00' + '34 06 0001 61 0002 00' + '32 06 0001 61 0003 00');
    assert.deepEqual(sentAtTurn, [0]);
    assert.equal(socket().takeSent(), '40020001' + '50020002' + '40020003');
    client.end();
});

test('a turn that a listener cannot keep is not acknowledged, and handed out again', async () => {
    const { client, socket, connack } = scripted();
    const topics = [];
    let isFull = true;
    client.on('message', ({ topic }) => topics.push(topic));
    client.on('turn', () => { if (isFull && topics.length > 0) throw new MQTTError(0x97, 'full'); });
    connack();
    const offline = next(client, 'offline');
    const turn = '32 06 0001 61 0001 00' + '34 06 0001 62 0002 00';
    socket().receive(turn);
    assert.equal(socket().takeSent(), 'e00197', 'neither PUBACK nor PUBREC');
    const { error, retryIn } = await offline;
    assert.equal(error.message, 'full');
    assert.ok(retryIn > 0);
    isFull = false;
    client.wake();
    connack('20 03 01 00 00');
    socket().receive(turn);
    assert.deepEqual(topics, ['a', 'b', 'a', 'b']);
    assert.equal(socket().takeSent(), '40020001' + '50020002');
    client.end();
});

test('a session that was taken over stays so, even if the turn could not be kept', () => {
    const { client, socket, connack } = scripted();
    connack();
    client.on('turn', () => { throw new MQTTError(0x97, 'full'); });
    socket().receive('32 06 0001 61 0001 00' + 'e0 01 8e');
    assert.equal(socket().takeSent(), '');
    assert.equal(client.state, 'stopped');
});

test('what came before an error in the same frame is kept before it is acknowledged', () => {
    const { client, socket, connack } = scripted();
    const sentAtTurn = [];
    connack();
    client.on('turn', () => sentAtTurn.push(socket().sent.length));
    socket().receive('32 06 0001 61 0001 00' + 'e0 01 8b'); // The server shuts down.
    assert.deepEqual(sentAtTurn, [0]);
    assert.equal(socket().takeSent(), '40020001');
    client.end();
});

test('a QoS 2 message that is repeated after a reconnect is handed out once', () => {
    const { client, socket, connack } = scripted();
    const topics = [];
    client.on('message', ({ topic }) => topics.push(topic));
    connack();
    socket().receive('34 06 0001 61 0001 00');
    socket().drop();
    client.wake();
    connack('20 03 01 00 00');
    socket().receive('3c 06 0001 61 0001 00' + '62 02 0001' + '34 06 0001 62 0001 00');
    assert.deepEqual(topics, ['a', 'b']);
    assert.equal(socket().takeSent(), '50020001' + '70020001' + '50020001');
    client.end();
});

for (const [name, options, bytes, reason] of [
    ['more messages than we allow', { receiveMaximum: 1 }, '34 06 0001 61 0001 00 34 06 0001 61 0002 00', '93'],
    ['a packet larger than we allow', { maximumPacketSize: 20 }, '30 7f', '95'],
    ['a second CONNACK', {}, '20 03 00 00 00', '82'],
    ['a SUBACK that nobody asked for', {}, '90 04 0001 00 00', '82'],
]) {
    test(`a broker that sends ${name} is told 0x${reason} and left`, () => {
        const { client, socket, connack } = scripted(options);
        connack();
        socket().receive(bytes);
        assert.ok(socket().takeSent().endsWith(`e001${reason}`));
        assert.equal(socket().isClosed, true);
        assert.equal(client.state, 'waiting');
        client.end();
    });
}

test('what the broker would not take is refused here', async () => {
    const { client, socket, connack } = scripted();
    connack('20 0c 00 00 09 24 01 25 00 27 00000014'); // QoS 1 at most, no retain, 20 bytes.
    await assert.rejects(client.publish('a', '', { qos: 2 }), { reasonCode: 0x9b });
    await assert.rejects(client.publish('a', '', { retain: true }), { reasonCode: 0x9a });
    await assert.rejects(client.publish('a', 'x'.repeat(20), { qos: 1 }), { reasonCode: 0x95 });
    await assert.rejects(client.publish('a/+', ''), { reasonCode: 0x90 });
    assert.equal(socket().takeSent(), '');
    client.end();
});

test('a broker that falls silent is noticed within the keep-alive', () => {
    mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    try {
        const { client, socket, connack } = scripted({ keepAlive: 10 });
        connack();
        mock.timers.tick(5000);
        assert.equal(socket().takeSent(), 'c000');
        socket().receive('d0 00');
        mock.timers.tick(5000);
        assert.equal(socket().takeSent(), 'c000');
        const first = socket();
        mock.timers.tick(4999);
        assert.equal(client.state, 'online');
        mock.timers.tick(1);
        assert.equal(client.state, 'waiting');
        assert.equal(first.isClosed, true);
        mock.timers.tick(500);
        assert.equal(client.state, 'connecting');
        client.end();
    } finally { mock.timers.reset(); }
});

test('the back-off grows, is jittered and has a ceiling', () => {
    mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    try {
        const { client, sockets } = scripted({ reconnect: { minimum: 100, maximum: 1000 } });
        const waits = [];
        client.on('offline', ({ retryIn }) => waits.push(retryIn));
        for (let i = 0; i < 8; i++) { sockets.at(-1).drop(); mock.timers.tick(1000); }
        for (const [i, wait] of waits.entries()) {
            const ceiling = Math.min(1000, 100 * 2 ** i);
            assert.ok(wait >= ceiling / 2 && wait <= ceiling, `${wait} after ${i}`);
        }
        client.end();
    } finally { mock.timers.reset(); }
});

test('a final refusal and a session taken over end the attempts', async () => {
    for (const bytes of ['20 03 00 87 00', '20 03 00 00 00 e0 01 8e']) {
        const { client, connack, sockets } = scripted();
        const offline = next(client, 'offline');
        connack(bytes);
        assert.equal(client.state, 'stopped');
        assert.equal((await offline).retryIn, undefined);
        assert.equal(sockets.length, 1);
    }
});

test('a listener that publishes while a refusal is told does not overtake what waits', () => {
    const { client, socket, connack } = scripted();
    client.on('settled', ({ tag }) => { if (tag === 'large') client.publish('a', '3', { qos: 1 }); });
    client.publish('a', 'x'.repeat(40), { qos: 1, tag: 'large' });
    client.publish('a', '2', { qos: 1 });
    connack('20 08 00 00 05 27 00000014');
    assert.equal(socket().takeSent(), '320700016100010032' + '320700016100020033');
    client.end();
});

test('a client that a listener ends in mid-turn says good-bye last and starts clean', () => {
    const { client, socket, connack } = scripted();
    client.on('message', () => client.end());
    connack();
    socket().receive('32 06 0001 61 0001 00' + '32 06 0001 61 0002 00');
    assert.equal(socket().takeSent(), 'e000');
    client.connect();
    socket().open();
    assert.ok(socket().takeSent().startsWith('10'));
    client.end();
});

test('a store that is full refuses the publish instead of promising what a reload would lose', async () => {
    const { client } = scripted({ store: { load: () => null, save: () => { throw new Error('full'); } } });
    await assert.rejects(client.publish('a', '1', { qos: 1 }), { message: 'full' });
    assert.equal(client.waitingTags.length, 0);
    client.end();
});

test('a publish that was refused is not in the store, even if the store took it before it complained', async () => {
    let saved;
    const save = value => { saved = value; if (value.outgoing.length > 0) throw new Error('full'); };
    const { client } = scripted({ store: { load: () => null, save } });
    await assert.rejects(client.publish('a', '1', { qos: 1 }), { message: 'full' });
    assert.deepEqual(saved.outgoing, []);
    client.end();
});

// Conversations with a real broker.

let broker;
before(async () => {
    broker = await Mosquitto.start({ acl: 'topic readwrite open/#\ntopic readwrite chat/#\ntopic deny chat/secret\n' });
});
after(() => broker?.remove());

const real = (options = {}) => new MQTTClient({
    url: broker.url, reconnect: { minimum: 20, maximum: 200 },
    openSocket: url => new NodeWebSocket(url, 'mqtt', { chunkBytes: options.chunkBytes }), ...options,
});

for (const chunkBytes of [Infinity, 1, 7]) {
    test(`mosquitto hands back every QoS, both ways, in frames of ${chunkBytes} bytes`, { timeout: 20_000 }, async () => {
        const client = real({ chunkBytes, clientID: '' });
        const { length: before } = client.clientID;
        await client.connect();
        assert.ok(before === 0 && client.clientID.length > 0, 'mosquitto assigns a client id');
        assert.equal(await client.subscribe('open/#', { qos: 2 }), 2);
        const got = [];
        const all = new Promise(resolve => client.on('message', message => {
            got.push([message.topic, text(message.payload), message.qos, message.properties.userProperties?.[0]?.[1]]);
            if (got.length === 3) resolve();
        }));
        await Promise.all([0, 1, 2].map(qos => client.publish(`open/${qos}`, `größer ${qos}`, {
            qos, properties: { userProperties: [['k', `v${qos}`]] } })));
        await all;
        assert.deepEqual(got.sort(), [0, 1, 2].map(qos => [`open/${qos}`, `größer ${qos}`, qos, `v${qos}`]));
        await client.unsubscribe('open/#');
        client.end();
    });
}

test('mosquitto: retained messages, and reason codes of a refusal', { timeout: 20_000 }, async () => {
    const client = real();
    await client.connect();
    await client.publish('open/retained', 'kept', { qos: 1, retain: true });
    const message = next(client, 'message');
    await client.subscribe('open/retained', { qos: 1 });
    assert.equal((await message).retain, true);
    const isRefused = error => error instanceof MQTTError && error.reasonCode === 0x87;
    await assert.rejects(client.publish('chat/secret', 'x', { qos: 1 }), isRefused);
    await assert.rejects(client.publish('chat/secret', 'x', { qos: 2 }), { reasonCode: 0x87 });
    client.end();
});

test('mosquitto: what was missed arrives at the return', { timeout: 20_000 }, async () => {
    const session = { clientID: 'sleeper', cleanStart: false, sessionExpiry: 60 };
    const first = real(session);
    await first.connect();
    await first.subscribe('open/room', { qos: 1 });
    first.end();
    const writer = real();
    await writer.connect();
    for (let i = 0; i < 50; i++) await writer.publish('open/room', `${i}`, { qos: 1 });
    writer.end();
    const second = real(session);
    const got = [];
    const all = new Promise(resolve => second.on('message', ({ payload }) => got.push(text(payload)) === 50 && resolve()));
    const online = next(second, 'online');
    second.connect();
    assert.equal((await online).sessionPresent, true);
    await all;
    assert.deepEqual(got, Array.from({ length: 50 }, (_, i) => `${i}`));
    second.end({ sessionExpiry: 0 });
});

test('mosquitto: a restart of the broker loses nothing and keeps the order', { timeout: 30_000 }, async () => {
    const client = real({ clientID: 'tough', cleanStart: false, sessionExpiry: 60 });
    const got = [];
    const all = new Promise(resolve => client.on('message', ({ payload }) => got.push(text(payload)) === 5 && resolve()));
    await client.connect();
    await client.subscribe('open/tough', { qos: 1 });
    await client.publish('open/tough', '0', { qos: 1 });
    const offline = next(client, 'offline');
    await broker.stop();
    await offline;
    const waiting = ['1', '2', '3', '4'].map(payload => client.publish('open/tough', payload, { qos: 1 }));
    const online = next(client, 'online');
    await broker.run();
    assert.equal((await online).sessionPresent, true);
    await Promise.all(waiting);
    await all;
    assert.deepEqual(got, ['0', '1', '2', '3', '4']);
    client.end({ sessionExpiry: 0 });
});
