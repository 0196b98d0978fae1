import { aws_iam as iam, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';

/** A statement of a policy, as IAM has it. */
export interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: string[];
  readonly Resource: string | string[];
  readonly Condition?: object;
}

/** Where functions are put, where a private cluster wants them in a VPC. */
export interface Vpc {
  readonly subnetIds: string[];
  readonly securityGroupIds: string[];
}

/** What roles are made for. `undefined` takes nothing. */
export interface Access {
  readonly lakeArn: string;
  readonly lakeBucketArn: string;
  readonly prefix: string;
  readonly failureBucketArn: string;
  readonly streamArn: string;
  /** Everything of the search cluster, for the function that feeds it. */
  readonly searchArn?: string;
  /** The key of lake, stream, failure bucket and variables. */
  readonly keyArn?: string;
  readonly vpc?: Vpc;
  readonly tracing?: boolean;
}

/** A role and its one policy. */
export interface Role {
  readonly arn: string;
  readonly policy: iam.CfnRolePolicy;
}

const allow = (Sid: string, Action: string[], Resource: string | string[], Condition?: object): Statement => ({
  Sid,
  Effect: 'Allow',
  Action,
  Resource,
  ...(Condition ? { Condition } : {}),
});

/** A role for a service, with statements and nothing else. */
export function role(
  scope: Construct,
  id: string,
  props: { name: string; description: string; service: string; policy: string; statements: Statement[]; condition?: object },
): Role {
  const made = new iam.CfnRole(scope, `${id}Role`, {
    roleName: props.name,
    description: props.description,
    assumeRolePolicyDocument: {
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Allow',
          Action: 'sts:AssumeRole',
          Principal: { Service: props.service },
          ...(props.condition ? { Condition: props.condition } : {}),
        },
      ],
    },
  });
  const policy = new iam.CfnRolePolicy(scope, `${id}RolePolicy`, {
    policyName: props.policy,
    roleName: made.ref,
    policyDocument: { Version: '2012-10-17', Statement: props.statements },
  });
  return { arn: made.attrArn, policy };
}

// Also turns 403 for an absent object into 404, which the protocol needs.
const listLake = (access: Access) =>
  allow('ListLake', ['s3:ListBucket'], access.lakeBucketArn, { StringLike: { 's3:prefix': `${access.prefix}/*` } });

const log = (logGroupArn: string) => allow('Log', ['logs:CreateLogStream', 'logs:PutLogEvents'], `${logGroupArn}:*`);

const trace = (access: Access) =>
  // X-Ray knows no resources for these.
  access.tracing ? [allow('Trace', ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'], '*')] : [];

const keys = (access: Access) =>
  access.keyArn
    ? [allow('Encrypt', ['kms:GenerateDataKey'], access.keyArn), allow('Decrypt', ['kms:Decrypt'], access.keyArn)]
    : [];

/** Lambda puts interfaces into the subnets with the function's role. The function's own code may not. */
function interfaces(scope: Construct, access: Access, functionArn: string): Statement[] {
  if (!access.vpc) return [];
  const { account, partition, region } = Stack.of(scope);
  const ec2 = (resource: string) => `arn:${partition}:ec2:${region}:${account}:${resource}`;
  return [
    allow('MakeInterfaces', ['ec2:CreateNetworkInterface'], [
      ec2('network-interface/*'),
      ...access.vpc.subnetIds.map((id) => ec2(`subnet/${id}`)),
      ...access.vpc.securityGroupIds.map((id) => ec2(`security-group/${id}`)),
    ]),
    allow(
      'KeepInterfaces',
      ['ec2:DeleteNetworkInterface', 'ec2:AssignPrivateIpAddresses', 'ec2:UnassignPrivateIpAddresses'],
      ec2('network-interface/*'),
    ),
    // EC2 knows no resources for what describes.
    allow('SeeInterfaces', ['ec2:DescribeNetworkInterfaces', 'ec2:DescribeSubnets'], '*'),
    {
      Sid: 'NotByCode',
      Effect: 'Deny',
      Action: [
        'ec2:CreateNetworkInterface', 'ec2:DeleteNetworkInterface', 'ec2:DescribeNetworkInterfaces',
        'ec2:DescribeSubnets', 'ec2:AssignPrivateIpAddresses', 'ec2:UnassignPrivateIpAddresses',
      ],
      Resource: '*',
      Condition: { ArnEquals: { 'lambda:SourceFunctionArn': functionArn } },
    },
  ];
}

/** What a function that reads the stream does, and its mapping with its role. */
export function ingestStatements(scope: Construct, access: Access, functionArn: string, logGroupArn: string): Statement[] {
  return [
    allow('ReadJournal', ['s3:GetObject'], [
      `${access.lakeArn}/_journal/*`,
      `${access.lakeArn}/_tripline/checkpoint.json`,
      `${access.lakeArn}/_tripline/identity.json`,
      `${access.lakeArn}/_tripline/probe/*`,
      `${access.lakeArn}/_tripline/schemas.json`,
    ]),
    // It has no business in the tables, and what is published is not its to say.
    allow('Append', ['s3:PutObject'], [
      `${access.lakeArn}/_journal/*`,
      `${access.lakeArn}/_tripline/identity.json`,
      `${access.lakeArn}/_tripline/probe/*`,
      `${access.lakeArn}/_tripline/schemas.json`,
    ]),
    // The objects by which the first use proves the store.
    allow('DropProbe', ['s3:DeleteObject'], `${access.lakeArn}/_tripline/probe/*`),
    listLake(access),
    // Lambda delivers what the mapping gives up with the function's role.
    allow('GiveUp', ['s3:PutObject'], `${access.failureBucketArn}/*`),
    allow('SeeGivenUp', ['s3:ListBucket'], access.failureBucketArn),
    log(logGroupArn),
    allow(
      'ReadStream',
      [
        'kinesis:DescribeStream', 'kinesis:DescribeStreamSummary', 'kinesis:GetRecords', 'kinesis:GetShardIterator',
        'kinesis:ListShards', 'kinesis:SubscribeToShard',
      ],
      access.streamArn,
    ),
    ...(access.searchArn ? [allow('Index', ['es:ESHttpPost'], `${access.searchArn}/_bulk`)] : []),
    // Lambda grants it on no other.
    allow('SeeOwnMappings', ['lambda:ListEventSourceMappings'], '*'),
    ...keys(access),
    ...interfaces(scope, access, functionArn),
    ...trace(access),
  ];
}

/** What publish does. */
export function publishStatements(scope: Construct, access: Access, functionArn: string, logGroupArn: string): Statement[] {
  return [
    // Uploads in parts and conditional writes are covered by these two.
    allow('UseLake', ['s3:GetObject', 's3:PutObject'], `${access.lakeArn}/*`),
    // Tables have names of the pipeline's: it writes everywhere but here.
    { Sid: 'NeverAppend', Effect: 'Deny', Action: ['s3:PutObject'], Resource: `${access.lakeArn}/_journal/*` },
    // Old entries, and the probe's objects. Files of tables are never deleted.
    allow('DropEntries', ['s3:DeleteObject'], [`${access.lakeArn}/_journal/*`, `${access.lakeArn}/_tripline/probe/*`]),
    listLake(access),
    log(logGroupArn),
    ...keys(access),
    ...interfaces(scope, access, functionArn),
    ...trace(access),
  ];
}

/** What the schedule does: it invokes, and with a key of one's own reads its input. */
export const scheduleStatements = (functionArn: string, keyArn?: string): Statement[] => [
  allow('Invoke', ['lambda:InvokeFunction'], functionArn),
  ...(keyArn ? [allow('Decrypt', ['kms:Decrypt'], keyArn)] : []),
];
