import { Code, type FieldFault, type Reason, ServiceError } from '../../common/errors.ts';
import { nameFault } from '../../common/names.ts';

/** Collects all that is wrong with a request, so that it can be mended in one go. */
export class Faults {
  readonly #fields: FieldFault[] = [];
  #reason: Reason | undefined;

  /** Notes a fault; the first one's reason becomes the error's. */
  add(reason: Reason, field: string, description: string): void {
    this.#reason ??= reason;
    this.#fields.push({ field, description });
  }

  /** @throws ServiceError INVALID_ARGUMENT with all faults, if there are any. */
  throwIfAny(): void {
    const [first] = this.#fields;
    if (first === undefined || this.#reason === undefined) return;
    throw new ServiceError(
      Code.INVALID_ARGUMENT,
      this.#reason,
      `${first.field}: ${first.description}`,
      { fields: this.#fields },
    );
  }
}

/** A part of a request: its path, written out only where something is wrong with it. */
export type At = () => string;

/** Notes a string or bytes longer than `maxBytes`, a string's length taken in UTF-8. */
export function checkBytes(
  faults: Faults,
  at: At,
  value: string | Uint8Array,
  maxBytes: number,
): void {
  // A string's UTF-8 has 1 to 3 bytes for each of its code units: most need not be counted.
  if (value.length <= maxBytes / 3) return;
  const bytes = typeof value === 'string' ? Buffer.byteLength(value) : value.length;
  if (bytes > maxBytes) faults.add('TOO_LARGE', at(), `must be at most ${maxBytes} bytes`);
}

/** Notes parts of a request that are more than `maxBytes` together. */
export function checkTogether(faults: Faults, at: At, bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) faults.add('TOO_LARGE', at(), `must be at most ${maxBytes} bytes together`);
}

/** Notes a number, or a count of something, above `max`. */
export function checkMost(faults: Faults, at: At, value: number | bigint, max: number): void {
  if (value > max) faults.add('TOO_LARGE', at(), `must be at most ${max}`);
}

/** Notes a value that is absent, or that the enumeration `names` does not have. */
export function checkEnum(
  faults: Faults,
  at: At,
  value: number,
  names: Readonly<Record<string, string | number>>,
): void {
  if (value === 0) faults.add('MISSING_FIELD', at(), 'is required');
  else checkKnown(faults, at, value, names);
}

/** Notes a value that the enumeration `names` does not have; where it is absent it has its default. */
export function checkKnown(
  faults: Faults,
  at: At,
  value: number,
  names: Readonly<Record<string, string | number>>,
): void {
  if (!Object.values(names).includes(value)) {
    faults.add('INVALID_FIELD', at(), 'is no value that is known here');
  }
}

/** Notes what is wrong with the name of a user or group; an empty one is missing. */
export function checkName(faults: Faults, at: At, name: string): void {
  const fault = nameFault(name);
  if (fault) faults.add(fault.reason, at(), fault.description);
}
