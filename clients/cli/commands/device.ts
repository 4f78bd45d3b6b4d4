import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { MOST_AT_ONCE } from '../../device/local/checks.ts';
import type { Context } from '../context.ts';
import { print } from '../print.ts';
import { inBytes } from '../progress.ts';
import { counted } from '../readable.ts';
import { addDeviceAge, addDeviceBackup } from './device-backup.ts';
import { type DeviceOptions, deviceCommand, withDevice } from './device-command.ts';
import { addDeviceFiles } from './device-files.ts';
import { addDeviceInbox, addDeviceRead } from './device-read.ts';
import { addDeviceRestore } from './device-restore.ts';
import { addDeviceSchedule } from './device-schedule.ts';
import { addDeviceSend } from './device-send.ts';

/** Adds `backscroll device` with its commands. */
export function addDevice(program: Command, context: Context): void {
  const group = program.command('device').summary('try a device with a local database');
  group
    .description(
      'Does what an app on a device does, with a local SQLite database: reads it, syncs what it lacks, ' +
        'sends, and backs it up. Needs Node 24 or newer.',
    )
    .addHelpText(
      'after',
      `
Examples:
  backscroll device open --user alice
  backscroll device read --user alice --peer bob
  backscroll device backup --user alice --upload`,
    );
  group.hook('preAction', () => {
    // A device is often without a connection: that is said at once.
    context.channel = { retries: false };
  });
  addOpen(group, context);
  addDeviceInbox(group, context);
  addDeviceRead(group, context);
  addDeviceSend(group, context);
  addDeviceFiles(group, context);
  addDeviceBackup(group, context);
  addDeviceRestore(group, context);
  addDeviceAge(group, context);
  addDeviceSchedule(group, context);
}

function addOpen(group: Command, context: Context): void {
  deviceCommand(group, 'open')
    .summary('make or open the database, and tell what it holds')
    .description(
      'Opens the local database, makes it where there is none, and tells what it holds; asks no service.\n' +
        'With --json, {"database", "user", "sizeBytes", "inbox", "stored", "unread", "waiting"}.',
    )
    .addHelpText(
      'after',
      `
Examples:
  backscroll device open --user alice
  backscroll device open --user alice --database phone.db --json`,
    )
    .action(async (_options, command: Command) => {
      await open(context, command.optsWithGlobals<DeviceOptions>());
    });
}

async function open(context: Context, options: DeviceOptions): Promise<void> {
  await withDevice(context, options, { calls: 'history' }, async (device) => {
    const database = resolve(options.database);
    const { size: sizeBytes } = await stat(database);
    const { readable: inbox } = device.readSummary(() => {}).ahead(MOST_AT_ONCE);
    const counts = device.counts();
    const { stored, unread, waiting } = counts;
    const text =
      `${database}: ${inBytes(sizeBytes)}, of ${device.user}\n` +
      `inbox: ${counted(inbox, 'conversation')}; messages: ${stored} held, ${unread} unread, ${waiting} to be sent`;
    const { user } = device;
    await print(context, options, text, { database, user, sizeBytes, inbox, ...counts });
  });
}
