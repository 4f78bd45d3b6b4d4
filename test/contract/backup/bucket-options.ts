import type { MinioOptions } from '../../../services/backup/store/minio.ts';
import type { BucketAddress } from '../../support/databases.ts';

/** How a store in a bucket is opened. */
export function optionsOf({ url, accessKey, secretKey }: BucketAddress): MinioOptions {
  const { hostname, port, pathname } = new URL(url.replace(/^s3\+/, ''));
  const bucket = pathname.slice(1);
  return { endPoint: hostname, port: Number(port), tls: false, bucket, accessKey, secretKey };
}
