import { aws_s3 as s3, CfnDeletionPolicy, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';

/** What makes a bucket. */
export interface BucketProps {
  readonly bucketName: string;
  /** Key to encrypt with; without one S3's own. */
  readonly keyArn?: string;
  /** Keep the bucket when the stack goes. */
  readonly retain: boolean;
  readonly rules: s3.CfnBucket.RuleProperty[];
  /** Statements of its policy besides the one on TLS. */
  readonly statements?: object[];
  /** S3 tells EventBridge of each new object. */
  readonly tellsEventBridge?: boolean;
}

/** A bucket of nobody else's: encrypted, closed to the public, over TLS only. */
export function privateBucket(scope: Construct, id: string, props: BucketProps): s3.CfnBucket {
  const bucket = new s3.CfnBucket(scope, id, {
    bucketName: props.bucketName,
    publicAccessBlockConfiguration: {
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    },
    ownershipControls: { rules: [{ objectOwnership: 'BucketOwnerEnforced' }] },
    bucketEncryption: {
      serverSideEncryptionConfiguration: [
        {
          // Asks KMS once per bucket and time, not once per object.
          bucketKeyEnabled: props.keyArn !== undefined,
          serverSideEncryptionByDefault: props.keyArn
            ? { sseAlgorithm: 'aws:kms', kmsMasterKeyId: props.keyArn }
            : { sseAlgorithm: 'AES256' },
        },
      ],
    },
    lifecycleConfiguration: { rules: props.rules },
    notificationConfiguration: props.tellsEventBridge
      ? { eventBridgeConfiguration: { eventBridgeEnabled: true } }
      : undefined,
  });
  const deletion = props.retain ? CfnDeletionPolicy.RETAIN : CfnDeletionPolicy.DELETE;
  bucket.cfnOptions.deletionPolicy = deletion;
  bucket.cfnOptions.updateReplacePolicy = deletion;

  new s3.CfnBucketPolicy(scope, `${id}Policy`, {
    bucket: bucket.ref,
    policyDocument: {
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'OnlyTls',
          Effect: 'Deny',
          Principal: '*',
          Action: 's3:*',
          Resource: [bucket.attrArn, `${bucket.attrArn}/*`],
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        },
        ...(props.statements ?? []),
      ],
    },
  });
  return bucket;
}

/** What makes a lake. */
export interface LakeProps {
  readonly name: string;
  /** Where the lake begins in the bucket. Nobody else writes below it. */
  readonly prefix: string;
  readonly keyArn?: string;
  readonly retain: boolean;
  /** S3 tells EventBridge of new objects, so that rules with `successPattern` can be made. */
  readonly successEvents?: boolean;
}

/**
 * The bucket of a lake. What Tripline rests on is enforced here: conditional writes, no expiry on journal and
 * checkpoint, and time for uploads that a commit lists.
 */
export class Lake extends Construct {
  readonly bucket: s3.CfnBucket;
  readonly bucketArn: string;
  /** ARN of everything below the prefix, but for the last slash and star. */
  readonly arn: string;
  readonly url: string;
  readonly keyArn?: string;
  /** Event pattern of a rule on the default bus that picks complete partitions, with `successEvents`. */
  readonly successPattern?: object;

  constructor(scope: Construct, id: string, props: LakeProps) {
    super(scope, id);
    const { account, partition, region } = Stack.of(this);
    const bucketName = `${props.name}-lake-${account}-${region}`;
    this.bucketArn = `arn:${partition}:s3:::${bucketName}`;
    this.arn = `${this.bucketArn}/${props.prefix}`;
    this.url = `s3://${bucketName}/${props.prefix}`;
    this.keyArn = props.keyArn;
    if (props.successEvents) {
      this.successPattern = {
        source: ['aws.s3'],
        'detail-type': ['Object Created'],
        detail: { bucket: { name: [bucketName] }, object: { key: [{ wildcard: `${props.prefix}/*/_SUCCESS` }] } },
      };
    }
    this.bucket = privateBucket(this, 'Bucket', {
      bucketName,
      keyArn: props.keyArn,
      retain: props.retain,
      tellsEventBridge: props.successEvents,
      // No rule may expire what lies below _journal/ and _tripline/: publish deletes old entries itself, and positions
      // are kept for good.
      rules: [
        { id: 'abort-old-uploads', status: 'Enabled', abortIncompleteMultipartUpload: { daysAfterInitiation: 7 } },
        { id: 'drop-query-results', status: 'Enabled', prefix: 'athena-results/', expirationInDays: 7 },
      ],
      statements: [
        {
          Sid: 'OnlyTls12',
          Effect: 'Deny',
          Principal: '*',
          Action: 's3:*',
          Resource: [this.bucketArn, `${this.bucketArn}/*`],
          Condition: { NumericLessThan: { 's3:TlsVersion': '1.2' } },
        },
        ...this.conditionalWrites(),
      ],
    });
  }

  /**
   * Journal entries are only ever created. Checkpoint, identity, redrives and the probe's objects are created, or
   * replaced by tag. Parts of an upload take no condition, so they are exempt; completing one is not.
   */
  private conditionalWrites(): object[] {
    const deny = (sid: string, folder: string, conditions: string[]) => ({
      Sid: sid,
      Effect: 'Deny',
      Principal: '*',
      Action: 's3:PutObject',
      Resource: `${this.arn}/${folder}/*`,
      Condition: {
        Null: Object.fromEntries(conditions.map((condition) => [condition, 'true'])),
        Bool: { 's3:ObjectCreationOperation': 'true' },
      },
    });
    return [
      deny('JournalIsOnlyCreated', '_journal', ['s3:if-none-match']),
      deny('StateIsWrittenUnderACondition', '_tripline', ['s3:if-none-match', 's3:if-match']),
    ];
  }
}
