import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { aws_lambda as lambda, aws_s3 as s3, Fn } from 'aws-cdk-lib';
import { Construct } from 'constructs';

/** Where the zips `ingest.zip` and `publish.zip` come from. */
export type Packages = (scope: Construct, zip: 'ingest' | 'publish') => lambda.Code;

/** From a folder, as `make package` leaves them in target/lambda. */
export function fromFolder(folder: string): Packages {
  return (_, zip) => {
    const file = join(folder, `${zip}.zip`);
    if (!existsSync(file)) {
      throw new Error(`${file} is not there: \`make package\` writes target/lambda; another folder is named by -c packageFolder=…`);
    }
    return lambda.Code.fromAsset(file);
  };
}

/** From a bucket and a prefix that ends in a slash, or is empty: for templates, where both are parameters. */
export function fromBucket(bucket: string, prefix: string): Packages {
  return (scope, zip) =>
    lambda.Code.fromBucketV2(s3.Bucket.fromBucketName(scope, `Packages-${zip}`, bucket), Fn.join('', [prefix, `${zip}.zip`]));
}
