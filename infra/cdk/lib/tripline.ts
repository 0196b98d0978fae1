import {
  aws_iam as iam, aws_lambda as lambda, aws_logs as logs, aws_scheduler as scheduler, Duration, Stack, Token,
} from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { Catalogue } from './catalogue';
import { Lake, privateBucket } from './lake';
import { Packages } from './packages';
import { Access, ingestStatements, publishStatements, Role, role, scheduleStatements, Statement, Vpc } from './roles';
import { Watch, Watched } from './watch';

/** What makes a deployment. */
export interface TriplineProps {
  /** Functions, roles, log groups, buckets, alarms and the dashboard are named by it. */
  readonly name: string;
  /** The pipeline in the zips: names the lake's prefix, and the file of infra/terraform/tables. */
  readonly pipeline: string;
  readonly packages: Packages;
  /** What the zips are built for. */
  readonly architecture: lambda.Architecture;
  /** The Kinesis stream to read. Retention beyond a day, or what is given up is lost before. */
  readonly streamArn: string;
  /** An OpenSearch domain. With one, lake and search have a function each. */
  readonly search?: { readonly url: string; readonly arn: string };
  readonly vpc?: Vpc;
  /** Key of lake, stream, failure bucket, logs and variables. Without one, AWS' own. */
  readonly keyArn?: string;
  readonly tracing?: boolean;
  readonly alarmEmails?: string[];
  /** Reserved concurrency of publish. A new account may have too few executions to reserve any. */
  readonly publishConcurrency?: number;
  /** Further variables of all functions, as in README.md, Configuration. */
  readonly environment?: Record<string, string>;
  /** Keep lake and failure bucket when the stack goes. */
  readonly retain: boolean;
  /** S3 tells EventBridge of new objects, complete partitions among them: see `lake.successPattern`. */
  readonly successEvents?: boolean;
}

// There is no property for these. A shard must be delivered in order, one batch at a time, or records that come behind
// later ones are taken for duplicates and lost. What is given up must get to the failure bucket.
const MAPPING = {
  batchSize: 10_000,
  bisectBatchOnFunctionError: true,
  functionResponseTypes: ['ReportBatchItemFailures'],
  maximumBatchingWindowInSeconds: 5,
  maximumRecordAgeInSeconds: 86_400,
  maximumRetryAttempts: 1_000,
  parallelizationFactor: 1,
  startingPosition: 'TRIM_HORIZON',
};
const EVERY_MINUTES = 5;
const SET_HERE = [
  'TRIPLINE_LAKE', 'TRIPLINE_PARTIAL_RESPONSES', 'TRIPLINE_CHECK_MAPPING', 'TRIPLINE_SINKS', 'TRIPLINE_LAKE_ELSEWHERE',
  'TRIPLINE_OPENSEARCH_URL', 'TRIPLINE_OPENSEARCH_AUTH', 'TRIPLINE_OPENSEARCH_SERVICE',
];

interface Made {
  readonly watched: Watched;
  readonly role: Role;
  readonly function: lambda.Function;
}

/** A lake, the functions that fill it from a stream, and what watches over them: infra/README.md. */
export class Tripline extends Construct {
  readonly lake: Lake;
  readonly catalogue: Catalogue;
  readonly watch: Watch;
  /** Roles by function: `ingest`, or `lake` and `search`; `publish`. */
  readonly roles: Record<string, Role> = {};
  private readonly props: TriplineProps;
  private readonly access: Access;

  constructor(scope: Construct, id: string, props: TriplineProps) {
    super(scope, id);
    this.props = props;
    check(props);
    const { keyArn, name, retain } = props;
    const { account, region } = Stack.of(this);

    this.lake = new Lake(this, 'Lake', {
      name,
      prefix: props.pipeline,
      keyArn,
      retain,
      successEvents: props.successEvents,
    });
    this.catalogue = new Catalogue(this, 'Catalogue', { name, pipeline: props.pipeline, lake: this.lake });

    // What the mapping gives up: invocation records with the batch itself, below aws/lambda/<mapping>/.
    const failed = privateBucket(this, 'Failed', {
      bucketName: `${name}-failed-${account}-${region}`,
      keyArn,
      retain,
      rules: [
        {
          id: 'drop-old-batches',
          status: 'Enabled',
          expirationInDays: 30,
          abortIncompleteMultipartUpload: { daysAfterInitiation: 7 },
        },
      ],
    });
    this.access = {
      lakeArn: this.lake.arn,
      lakeBucketArn: this.lake.bucketArn,
      prefix: props.pipeline,
      failureBucketArn: failed.attrArn,
      streamArn: props.streamArn,
      keyArn,
      vpc: props.vpc,
      tracing: props.tracing,
    };

    const ingest = (props.search ? ['lake', 'search'] : ['ingest']).map((key) => this.ingest(key, failed.attrArn));
    const publish = this.publish();
    this.watch = new Watch(this, 'Watch', {
      name,
      functions: [...ingest, publish],
      everyMinutes: EVERY_MINUTES,
      maximumRecordAge: MAPPING.maximumRecordAgeInSeconds,
      emails: props.alarmEmails ?? [],
      keyArn,
    });
  }

  private common(): Record<string, string> {
    return { ...this.props.environment, TRIPLINE_LAKE: this.lake.url };
  }

  /** A function that reads the stream: for all sinks, or for search apart from the others. */
  private ingest(key: string, failureBucketArn: string): Watched {
    const { search } = this.props;
    const searching = key === 'search' ? search : undefined;
    const access = { ...this.access, searchArn: searching?.arn };
    const made = this.function(key, {
      zip: 'ingest',
      description: `Tripline: appends batches to the journal${searching ? ', indexes them' : ''}`,
      timeout: 120,
      policy: 'ingest',
      statements: (arn, logGroupArn) => ingestStatements(this, access, arn, logGroupArn),
      environment: {
        ...this.common(),
        // Says to the function what the mapping below is.
        TRIPLINE_PARTIAL_RESPONSES: 'true',
        TRIPLINE_CHECK_MAPPING: 'true',
        ...(search && !searching ? { TRIPLINE_SINKS: 'lake' } : {}),
        ...(searching
          ? {
              TRIPLINE_SINKS: 'search',
              TRIPLINE_LAKE_ELSEWHERE: 'true',
              TRIPLINE_OPENSEARCH_URL: searching.url,
              TRIPLINE_OPENSEARCH_AUTH: 'sigv4',
              TRIPLINE_OPENSEARCH_SERVICE: 'es',
            }
          : {}),
      },
    });
    const mapping = new lambda.CfnEventSourceMapping(this, `${key}-mapping`, {
      ...MAPPING,
      eventSourceArn: this.props.streamArn,
      functionName: made.function.functionArn,
      enabled: true,
      // S3, as SQS and SNS would only say where the records are in the stream, and not for long.
      destinationConfig: { onFailure: { destination: failureBucketArn } },
      // Counts what was given up.
      metricsConfig: { metrics: ['EventCount'] },
    });
    mapping.addResourceDependency(made.role.policy);
    return { ...made.watched, mappingId: mapping.ref, feedsSearch: searching !== undefined };
  }

  /** publish and its schedule. The next run comes by itself, and does what a retry would. */
  private publish(): Watched {
    const { keyArn, name } = this.props;
    const once = { maximumRetryAttempts: 0, maximumEventAgeInSeconds: 300 };
    const made = this.function('publish', {
      zip: 'publish',
      description: 'Tripline: turns the journal into files of the lake',
      timeout: 900,
      concurrency: this.props.publishConcurrency,
      policy: 'publish',
      statements: (arn, logGroupArn) => publishStatements(this, this.access, arn, logGroupArn),
      environment: this.common(),
    });
    const { functionArn, functionName } = made.function;
    new lambda.CfnEventInvokeConfig(this, 'publish-once', { functionName, qualifier: '$LATEST', ...once });
    const invoker = role(this, 'schedule', {
      name: `${name}-schedule`,
      description: `Invokes ${made.watched.functionName}`,
      service: 'scheduler.amazonaws.com',
      condition: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      policy: 'invoke',
      statements: scheduleStatements(functionArn, keyArn),
    });
    new scheduler.CfnSchedule(this, 'publish-schedule', {
      name: made.watched.functionName,
      description: `Publishes the journal of ${name}`,
      scheduleExpression: `rate(${EVERY_MINUTES} minutes)`,
      kmsKeyArn: keyArn,
      flexibleTimeWindow: { mode: 'OFF' },
      target: { arn: functionArn, roleArn: invoker.arn, input: '{}', retryPolicy: once },
    }).addResourceDependency(invoker.policy);
    return made.watched;
  }

  private function(
    key: string,
    of: {
      zip: 'ingest' | 'publish';
      description: string;
      timeout: number;
      concurrency?: number;
      policy: string;
      statements: (functionArn: string, logGroupArn: string) => Statement[];
      environment: Record<string, string>;
    },
  ): Made {
    const { keyArn, tracing, vpc } = this.props;
    const { account, partition, region } = Stack.of(this);
    const functionName = `${this.props.name}-${key}`;
    const arn = `arn:${partition}:lambda:${region}:${account}:function:${functionName}`;
    const logGroup = new logs.CfnLogGroup(this, `${key}-log`, {
      logGroupName: `/aws/lambda/${functionName}`,
      retentionInDays: 30,
      kmsKeyId: keyArn,
    });
    const logGroupArn = `arn:${partition}:logs:${region}:${account}:log-group:/aws/lambda/${functionName}`;
    const owned = role(this, key, {
      name: functionName,
      description: `Tripline's function ${functionName}`,
      service: 'lambda.amazonaws.com',
      policy: of.policy,
      statements: of.statements(arn, logGroupArn),
    });
    this.roles[key] = owned;
    const made = new lambda.Function(this, key, {
      functionName,
      description: of.description,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      handler: 'bootstrap',
      architecture: this.props.architecture,
      code: this.props.packages(new Construct(this, `${key}-code`), of.zip),
      memorySize: 1024,
      timeout: Duration.seconds(of.timeout),
      reservedConcurrentExecutions: of.concurrency,
      environment: of.environment,
      loggingFormat: lambda.LoggingFormat.JSON,
      logGroup: logs.LogGroup.fromLogGroupName(this, `${key}-log-group`, logGroup.ref),
      tracing: tracing ? lambda.Tracing.ACTIVE : lambda.Tracing.PASS_THROUGH,
      // As it stands: nothing adds to it behind the statements' back.
      role: iam.Role.fromRoleArn(this, `${key}-as-is`, owned.arn, { mutable: false }),
    });
    const raw = made.node.defaultChild as lambda.CfnFunction;
    raw.kmsKeyArn = keyArn;
    if (vpc) raw.vpcConfig = { subnetIds: vpc.subnetIds, securityGroupIds: vpc.securityGroupIds };
    // Without its rights a function cannot be put into a VPC, and without the lake it has nothing to do.
    raw.addResourceDependency(owned.policy);
    raw.addResourceDependency(this.lake.bucket);
    return { watched: { key, functionName, logGroup }, role: owned, function: made };
  }
}

function check(props: TriplineProps): void {
  if (!Token.isUnresolved(props.name) && !/^[a-z][a-z0-9-]{1,30}$/.test(props.name)) {
    throw new Error(`name ${props.name}: 2 to 31 lower-case letters, digits and dashes, a letter first`);
  }
  for (const name of Object.keys(props.environment ?? {})) {
    if (!name.startsWith('TRIPLINE_')) throw new Error(`environment ${name}: names begin with TRIPLINE_`);
    if (SET_HERE.includes(name)) throw new Error(`environment ${name}: it is set here, to what the mapping and the sinks are`);
  }
}
