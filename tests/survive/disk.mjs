// A small disk of a test's own: a tmpfs in the mount namespace that tests/e2e/in-office made.
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const MB = 1 << 20;

export class Disk {
    constructor(megabytes) {
        this.dir = mkdtempSync(join(tmpdir(), 'giaoban-disk-'));
        execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'disk', this.dir]);
        this.other = join(this.dir, 'other');
    }

    /** Runs `start` with everything temporary on this disk. */
    async within(start) {
        const before = process.env.TMPDIR;
        process.env.TMPDIR = this.dir;
        try {
            return await start();
        } finally {
            if (before === undefined) delete process.env.TMPDIR;
            else process.env.TMPDIR = before;
        }
    }

    free() {
        const { bavail, bsize } = statfsSync(this.dir);
        return Number(bavail) * Number(bsize);
    }

    /** Somebody else's file grows until so much is free. */
    fillUpTo(left) {
        const fd = openSync(this.other, 'a', 0o600);
        const block = Buffer.alloc(65536);
        try {
            for (let over; (over = this.free() - left) > 0; ) writeSync(fd, block, 0, Math.min(over, block.length));
        } catch (error) {
            if (error.code !== 'ENOSPC') throw error;
        } finally {
            closeSync(fd);
        }
    }

    makeRoom() {
        rmSync(this.other);
    }

    remove() {
        if (!existsSync(this.dir)) return;
        execFileSync('umount', ['-l', this.dir]);
        rmSync(this.dir, { recursive: true });
    }
}
