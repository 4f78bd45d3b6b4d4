/** A device of alice's in a process of its own, which refreshes: `device-refresher.ts DATABASE ADDRESS`. */
import { Device } from '../../clients/device/index.ts';

const [, , database = '', history = ''] = process.argv;
await using device = await Device.open({ database, user: 'alice', history, backup: history });
await device.refresh();
