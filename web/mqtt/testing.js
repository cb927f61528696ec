// What the tests of mqtt.js need and node 20 does not have: a WebSocket, a socket that follows a script, and a
// mosquitto of one's own. It knows just enough of RFC 6455 and cuts what it sends and receives where it is told to.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

/** The part of the browser's WebSocket that mqtt.js uses, over node's HTTP upgrade. */
export class NodeWebSocket {
    #socket; #received = Buffer.alloc(0); #isClosed = false;

    /** @param {{chunkBytes?: number}} [options] hands on and sends binary data in frames of at most so many bytes. */
    constructor(url, protocol, { chunkBytes = Infinity } = {}) {
        this.chunkBytes = chunkBytes;
        const headers = {
            Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13,
            'Sec-WebSocket-Protocol': protocol, 'Sec-WebSocket-Key': Buffer.alloc(16, 1).toString('base64'),
        };
        const request = http.get(url.replace(/^ws/, 'http'), { headers, agent: false });
        request.on('upgrade', (response, socket, head) => {
            this.#socket = socket;
            socket.on('data', data => this.#take(data));
            socket.on('close', () => this.#finish());
            socket.on('error', () => this.#finish());
            this.onopen?.({});
            if (head.length > 0) this.#take(head);
        });
        request.on('response', response => { response.resume(); this.#finish(); });
        request.on('error', () => this.#finish());
    }

    send(bytes) {
        for (const piece of pieces(bytes, this.chunkBytes)) this.#frame(2, piece);
    }

    close() {
        if (this.#socket && !this.#isClosed) this.#frame(8, new Uint8Array());
        this.#socket?.end();
    }

    /** Cuts the network without a word, as a pulled plug does. */
    destroy() { this.#socket.destroy(); }

    #finish() {
        if (this.#isClosed) return;
        this.#isClosed = true;
        this.onclose?.({ reason: '' });
    }

    #frame(opcode, payload) {
        const length = payload.length < 126 ? Buffer.from([0x80 | payload.length])
            : payload.length < 65536 ? Buffer.from([0xfe, payload.length >> 8, payload.length & 0xff])
            : Buffer.concat([Buffer.from([0xff, 0, 0, 0, 0]), uint32(payload.length)]);
        // The mask is 0, which leaves the payload as it is.
        this.#socket.write(Buffer.concat([Buffer.from([0x80 | opcode]), length, Buffer.alloc(4), payload]));
    }

    #take(data) {
        this.#received = Buffer.concat([this.#received, data]);
        for (;;) {
            const bytes = this.#received;
            if (bytes.length < 2) return;
            let length = bytes[1], offset = 2;
            if (length === 126) { if (bytes.length < 4) return; length = bytes.readUInt16BE(2); offset = 4; }
            if (length === 127) { if (bytes.length < 10) return; length = Number(bytes.readBigUInt64BE(2)); offset = 10; }
            if (bytes.length < offset + length) return;
            this.#received = bytes.subarray(offset + length);
            const payload = bytes.subarray(offset, offset + length);
            const opcode = bytes[0] & 0x0f;
            if (opcode === 8) { this.#socket.end(); return this.#finish(); }
            if (opcode > 2) continue;
            for (const piece of pieces(payload, this.chunkBytes)) this.onmessage?.({ data: Uint8Array.from(piece).buffer });
        }
    }
}

const uint32 = n => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(n); return bytes; };

const pieces = (bytes, size) => {
    if (bytes.length <= size) return [bytes];
    return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
};

/** A socket without a network: the test plays the broker with bytes in hexadecimal. */
export class ScriptedSocket {
    sent = []; isClosed = false;
    send(bytes) { this.sent.push(Buffer.from(bytes).toString('hex')); }
    close() { this.isClosed = true; }
    open() { this.onopen({}); }
    receive(hex) { this.onmessage({ data: Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')).buffer }); }
    drop() { this.onclose({ reason: '' }); }
    /** What was sent since the last look. */
    takeSent() { return this.sent.splice(0).join(' '); }
}

const freePort = async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    return port;
};

/** Debian's mosquitto with a WebSocket listener and persistence, in a folder that goes with it. */
export class Mosquitto {
    static async start({ settings = [], acl } = {}) {
        const broker = new Mosquitto();
        broker.folder = mkdtempSync(path.join(os.tmpdir(), 'mqtt-js-'));
        broker.port = await freePort();
        broker.url = `ws://127.0.0.1:${broker.port}/mqtt`;
        // mosquitto 2.0.11 does not start with WebSocket listeners alone: it counts only the others.
        const lines = [
            `listener ${await freePort()} 127.0.0.1`,
            `listener ${broker.port} 127.0.0.1`, 'protocol websockets', 'allow_anonymous true',
            'persistence true', `persistence_location ${broker.folder}/`, 'log_type all', ...settings,
        ];
        if (acl) {
            writeFileSync(path.join(broker.folder, 'acl'), acl, { mode: 0o644 });
            lines.push(`acl_file ${broker.folder}/acl`);
        }
        // Started by root, mosquitto would become the user "mosquitto", who may not write here.
        if (process.getuid() === 0) lines.push('user root');
        writeFileSync(path.join(broker.folder, 'mosquitto.conf'), lines.join('\n') + '\n');
        await broker.run();
        return broker;
    }

    async run() {
        const command = `${process.env.PATH}:/usr/sbin`.split(':');
        this.process = spawn('mosquitto', ['-c', path.join(this.folder, 'mosquitto.conf')], {
            env: { ...process.env, PATH: command.join(':') }, stdio: ['ignore', 'ignore', 'pipe'],
        });
        this.log = '';
        await new Promise((resolve, reject) => {
            this.process.on('error', () => reject(new Error('mosquitto is missing: apt-get install mosquitto')));
            this.process.on('exit', code => reject(new Error(`mosquitto ended with ${code}:\n${this.log}`)));
            this.process.stderr.on('data', data => {
                this.log += data;
                if (/mosquitto version \S+ running/.test(this.log)) resolve();
            });
        });
    }

    /** Ends the process; its folder stays, so `run` finds the sessions again. */
    async stop() {
        this.process.kill('SIGTERM');
        await once(this.process, 'exit');
    }

    async remove() {
        if (this.process.exitCode === null) await this.stop();
        rmSync(this.folder, { recursive: true });
    }
}
