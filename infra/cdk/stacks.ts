import { aws_kinesis as kinesis, aws_lambda as lambda, CfnOutput, Stack, StackProps, Tags } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { Entrance } from './lib/access';
import { ownKey } from './lib/key';
import { Network } from './lib/network';
import { Packages } from './lib/packages';
import { Search } from './lib/search';
import { Tripline } from './lib/tripline';

/** What both stacks take. */
export interface QuickstartProps extends StackProps {
  readonly name: string;
  readonly pipeline: string;
  readonly packages: Packages;
  readonly architecture: lambda.Architecture;
  readonly alarmEmails: string[];
  /** S3 tells EventBridge of new objects, complete partitions among them. */
  readonly successEvents?: boolean;
}

/** What the private stack takes besides. */
export interface PrivateProps extends QuickstartProps {
  readonly cidr: string;
  readonly s3PrefixListId: string;
  readonly searchMasterArn: string;
  readonly searchInstanceType: string;
  readonly searchVolumeGib: number;
  readonly serviceLinkedRole: boolean;
  readonly tracing: boolean;
}

/** On demand and encrypted. Three days are the longest outage that can be sat out. */
function stream(scope: Construct, name: string, keyArn?: string): string {
  return new kinesis.CfnStream(scope, 'Stream', {
    name,
    retentionPeriodHours: 72,
    streamModeDetails: { streamMode: 'ON_DEMAND' },
    streamEncryption: { encryptionType: 'KMS', keyId: keyArn ?? 'alias/aws/kinesis' },
  }).attrArn;
}

function finish(scope: Stack, name: string, tripline: Tripline): void {
  Tags.of(scope).add('project', 'tripline');
  Tags.of(scope).add('deployment', name);
  const output = (id: string, value: string, description: string) => new CfnOutput(scope, id, { value, description });
  output('StreamName', name, 'Where to send events');
  output('LakeUrl', tripline.lake.url, 'Where the tables are');
  if (tripline.lake.successPattern)
    output('SuccessPattern', scope.toJsonString(tripline.lake.successPattern), 'Of a rule that picks complete partitions');
  output('DatabaseName', tripline.catalogue.database, 'Where Athena finds them');
}

/** A stream, a lake and the functions between them, without a VPC: minutes to put up. */
export class TriplineQuickstart extends Stack {
  readonly tripline: Tripline;

  constructor(scope: Construct, id: string, props: QuickstartProps) {
    super(scope, id, { description: 'Tripline: a stream, a lake and the functions between them', ...props });
    this.tripline = new Tripline(this, 'Tripline', { ...props, streamArn: stream(this, props.name), retain: false });
    finish(this, props.name, this.tripline);
  }
}

/** A stream, a lake and a domain of OpenSearch that no address outside of the VPC reaches. */
export class TriplinePrivate extends Stack {
  readonly tripline: Tripline;

  constructor(scope: Construct, id: string, props: PrivateProps) {
    super(scope, id, { description: 'Tripline: a stream, a lake and a search cluster in a VPC without a way out', ...props });
    const { name } = props;
    const keyArn = ownKey(this, name);
    const network = new Network(this, 'Network', {
      name,
      cidr: props.cidr,
      keyArn,
      bucketArn: `arn:${this.partition}:s3:::${name}-lake-${this.account}-${this.region}`,
      s3PrefixListId: props.s3PrefixListId,
    });
    const entrance = new Entrance(this, 'Access', { name, network });
    const search = new Search(this, 'Search', {
      name,
      network,
      keyArn,
      masterArn: props.searchMasterArn,
      instanceType: props.searchInstanceType,
      volumeGib: props.searchVolumeGib,
      serviceLinkedRole: props.serviceLinkedRole,
    });
    search.admit('Functions', network.functions, 'functions');
    search.admit('Entrance', entrance.group, 'access');
    this.tripline = new Tripline(this, 'Tripline', {
      ...props,
      streamArn: stream(this, name, keyArn),
      search: { url: search.url, arn: search.arn },
      vpc: network.vpc(),
      keyArn,
      publishConcurrency: 2,
      retain: true,
    });
    const role = this.tripline.roles['search'];
    if (role) search.allow(role.arn);
    search.watch(this.tripline.watch);
    finish(this, name, this.tripline);
    new CfnOutput(this, 'SearchUrl', { value: search.url, description: 'The domain' });
    new CfnOutput(this, 'SearchRoleArn', {
      value: role?.arn ?? '',
      description: "The role that the domain's fine-grained access has to know: infra/README.md says how",
    });
    new CfnOutput(this, 'Dashboards', {
      value:
        `aws ssm start-session --target ${entrance.instanceId} --document-name AWS-StartPortForwardingSessionToRemoteHost ` +
        `--parameters host=${search.domain.attrDomainEndpoint},portNumber=443,localPortNumber=8443`,
      description: 'What forwards OpenSearch Dashboards to https://localhost:8443/_dashboards',
    });
  }
}
