import { describe } from 'vitest';
import { engines } from './engines.ts';
import { storeCases } from './store-cases.ts';

describe.each(engines)('a backup store: %s', (_name, open) => storeCases(open));
