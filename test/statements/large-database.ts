import { createConnection } from 'mysql2/promise';
import { group } from '../../services/history/domain/conversation.ts';

/** The conversation that holds nearly all of a large database. */
export const LARGE = group('large');

/** A user who is in thousands of conversations. */
export const BUSY = Buffer.from('busy');

/**
 * Fills a database so that MySQL's choices are those that it makes for large conversations: one of
 * 40,000 messages, with thousands of rows about them in each side table, and a user in 4,000
 * conversations.
 */
export async function fill(url: string): Promise<void> {
  const connection = await createConnection({ uri: url });
  try {
    await connection.query('SET SESSION cte_max_recursion_depth = 100000');
    for (const text of STATEMENTS.split(';\n')) {
      if (text.trim() === '') continue;
      const values: Buffer[] = [];
      const sql = text.replace(/:(id|user)/g, (_, name: string) => {
        values.push(name === 'id' ? LARGE.id : BUSY);
        return '?';
      });
      await connection.query(sql, values);
    }
  } finally {
    await connection.end();
  }
}

const numbers = (count: number) =>
  `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})`;

/** Other conversations, by number: they get a few rows each, so that the large one is not all there is. */
const OTHER = "UNHEX(LPAD(HEX(n), 32, '0'))";

const STATEMENTS = `
INSERT INTO conversation (conversation_id, kind, name_a, name_b, last_seq, floor_seq, revision, last_sent_at_ms)
VALUES (:id, 2, 'large', '', 40000, 1, 9000, 0);
INSERT INTO conversation (conversation_id, kind, name_a, name_b, last_seq, floor_seq, revision, last_sent_at_ms)
${numbers(4000)} SELECT ${OTHER}, 2, n, '', 1, 1, 0, n FROM numbers;
INSERT INTO message (conversation_id, seq, message_id, sender, sent_at_ms, content_hash, body, kinds)
${numbers(40000)} SELECT :id, n, CONCAT('m', n), CONCAT('u', n % 100), n, UNHEX(LPAD(HEX(n), 32, '0')), 'body', IF(n % 10, 1, n % 20)
FROM numbers;
INSERT INTO message (conversation_id, seq, message_id, sender, sent_at_ms, content_hash, body)
${numbers(4000)} SELECT ${OTHER}, 1, 'm1', 'u1', n, UNHEX(LPAD(HEX(n), 32, '0')), 'body' FROM numbers;
INSERT INTO member (conversation_id, user_name) ${numbers(5000)} SELECT :id, CONCAT('u', n) FROM numbers;
INSERT INTO member (conversation_id, user_name) VALUES (:id, :user);
INSERT INTO member (conversation_id, user_name) ${numbers(4000)} SELECT ${OTHER}, :user FROM numbers;
INSERT INTO membership (user_name, conversation_id, revision)
${numbers(4000)} SELECT :user, ${OTHER}, n FROM numbers;
INSERT INTO membership (user_name, conversation_id) VALUES (:user, :id);
INSERT INTO membership (user_name, conversation_id)
${numbers(5000)} SELECT CONCAT('u', n), :id FROM numbers;
INSERT INTO account (user_name, revision) VALUES (:user, 4000);
INSERT INTO account (user_name, revision) ${numbers(5000)} SELECT CONCAT('u', n), 1 FROM numbers;
INSERT INTO pending (conversation_id, pending_id, user_name)
${numbers(3000)} SELECT ${OTHER}, UNHEX(LPAD(HEX(n), 32, '0')), :user FROM numbers;
INSERT INTO change_log (conversation_id, revision, seq, user_name, at_ms)
${numbers(9000)} SELECT :id, n, n, '', n FROM numbers;
INSERT INTO change_log (conversation_id, revision, seq, user_name, at_ms)
${numbers(3000)} SELECT ${OTHER}, 1, 1, '', n FROM numbers;
INSERT INTO quiet (conversation_id, seq) ${numbers(9000)} SELECT :id, n FROM numbers;
INSERT INTO quiet (conversation_id, seq) ${numbers(3000)} SELECT ${OTHER}, 1 FROM numbers;
INSERT INTO imported (conversation_id, from_seq, to_seq) ${numbers(3000)} SELECT :id, n * 3, n * 3 + 1 FROM numbers;
INSERT INTO imported (conversation_id, from_seq, to_seq) ${numbers(3000)} SELECT ${OTHER}, 1, 1 FROM numbers;
INSERT INTO hidden (conversation_id, user_name, seq) ${numbers(9000)} SELECT :id, :user, n FROM numbers;
INSERT INTO hidden (conversation_id, user_name, seq) ${numbers(3000)} SELECT :id, CONCAT('u', n), n FROM numbers;
INSERT INTO expiry (conversation_id, seq, expires_at_ms, swept) ${numbers(9000)} SELECT :id, n, n, n % 2 FROM numbers;
INSERT INTO expiry (conversation_id, seq, expires_at_ms, swept) ${numbers(3000)} SELECT ${OTHER}, 1, n, n % 2 FROM numbers;
INSERT INTO thread (conversation_id, thread, kinds, seq)
${numbers(9000)} SELECT :id, CONCAT('t', n % 3), 1, n FROM numbers;
INSERT INTO thread (conversation_id, thread, kinds, seq) ${numbers(3000)} SELECT ${OTHER}, 't1', 1, 1 FROM numbers;
INSERT INTO time_block (conversation_id, block, max_sent_at_ms) ${numbers(5000)} SELECT :id, n - 1, n * 256 FROM numbers;
INSERT INTO time_block (conversation_id, block, max_sent_at_ms) ${numbers(3000)} SELECT ${OTHER}, 0, n FROM numbers;
INSERT INTO profile (user_name, updated_at_ms, body) ${numbers(5000)} SELECT CONCAT('u', n), n, 'body' FROM numbers;
INSERT INTO erasure (user_name, asked_at_ms) ${numbers(3000)} SELECT CONCAT('u', n), n FROM numbers;
ANALYZE TABLE conversation, message, member, membership, account, pending, change_log, quiet, imported, hidden, expiry, thread, time_block, profile, erasure;
`;
