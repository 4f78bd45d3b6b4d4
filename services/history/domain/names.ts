import { nameFault } from '../../common/names.ts';
import type { At, Faults } from './faults.ts';

/** Notes what is wrong with the name of a user or group; an empty one is missing. */
export function checkName(faults: Faults, at: At, name: string): void {
  const fault = nameFault(name);
  if (fault) faults.add(fault.reason, at(), fault.description);
}
