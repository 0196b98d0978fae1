import { aws_ec2 as ec2, aws_iam as iam, aws_logs as logs, aws_opensearchservice as opensearch, Lazy, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { connect, Network } from './network';
import { Watch } from './watch';

/** What makes a domain. */
export interface SearchProps {
  readonly name: string;
  readonly network: Network;
  readonly keyArn: string;
  /** The role or user that fine-grained access begins with. */
  readonly masterArn: string;
  readonly instanceType: string;
  readonly volumeGib: number;
  /** Make the account's role for domains in a VPC, which there is once per account. */
  readonly serviceLinkedRole: boolean;
}

const LOGS = ['INDEX_SLOW_LOGS', 'SEARCH_SLOW_LOGS', 'ES_APPLICATION_LOGS', 'AUDIT_LOGS'];

/** A domain of OpenSearch in the private subnets, in three zones. Only the groups that are named come in. */
export class Search extends Construct {
  readonly domain: opensearch.CfnDomain;
  readonly arn: string;
  readonly url: string;
  private readonly name: string;
  private readonly group: ec2.CfnSecurityGroup;
  private readonly clientRoles: string[] = [];

  constructor(scope: Construct, id: string, props: SearchProps) {
    super(scope, id);
    const { keyArn, name, network } = props;
    const { account, partition, region } = Stack.of(this);
    this.name = name;
    this.arn = `arn:${partition}:es:${region}:${account}:domain/${name}`;
    this.group = network.group('search', name, 'Search cluster');

    const groups = LOGS.map((kind) => {
      const logGroupName = `/aws/opensearch/${name}/${kind.toLowerCase().replaceAll('_', '-')}`;
      const group = new logs.CfnLogGroup(this, kind, { logGroupName, retentionInDays: 30, kmsKeyId: keyArn });
      return { kind, group, arn: `arn:${partition}:logs:${region}:${account}:log-group:${logGroupName}` };
    });
    const logging = new logs.CfnResourcePolicy(this, 'Logging', {
      policyName: `${name}-search`,
      policyDocument: Stack.of(this).toJsonString({
        Version: '2012-10-17',
        Statement: [
          {
            Sid: 'Log',
            Effect: 'Allow',
            Principal: { Service: 'es.amazonaws.com' },
            Action: ['logs:PutLogEvents', 'logs:CreateLogStream'],
            Resource: groups.map((group) => `${group.arn}:*`),
            Condition: { StringEquals: { 'aws:SourceAccount': account }, ArnLike: { 'aws:SourceArn': this.arn } },
          },
        ],
      }),
    });

    this.domain = new opensearch.CfnDomain(this, 'Domain', {
      domainName: name,
      engineVersion: 'OpenSearch_2.19',
      clusterConfig: {
        instanceType: props.instanceType,
        instanceCount: 3,
        zoneAwarenessEnabled: true,
        zoneAwarenessConfig: { availabilityZoneCount: 3 },
        dedicatedMasterEnabled: false,
      },
      ebsOptions: { ebsEnabled: true, volumeType: 'gp3', volumeSize: props.volumeGib },
      vpcOptions: { subnetIds: network.subnetIds, securityGroupIds: [this.group.attrGroupId] },
      encryptionAtRestOptions: { enabled: true, kmsKeyId: keyArn },
      nodeToNodeEncryptionOptions: { enabled: true },
      domainEndpointOptions: { enforceHttps: true, tlsSecurityPolicy: 'Policy-Min-TLS-1-2-PFS-2023-10' },
      // Requests are signed with IAM roles. There is no user with a password.
      advancedSecurityOptions: {
        enabled: true,
        internalUserDatabaseEnabled: false,
        masterUserOptions: { masterUserArn: props.masterArn },
      },
      // Bulk requests name an index for each document.
      advancedOptions: { 'rest.action.multi.allow_explicit_index': 'true' },
      softwareUpdateOptions: { autoSoftwareUpdateEnabled: true },
      logPublishingOptions: Object.fromEntries(
        groups.map(({ arn, kind }) => [kind, { enabled: true, cloudWatchLogsLogGroupArn: arn }]),
      ),
      accessPolicies: Lazy.any({ produce: () => this.accessPolicies(props.masterArn) }),
    });
    for (const { group } of groups) this.domain.addResourceDependency(group);
    this.domain.addResourceDependency(logging);
    if (props.serviceLinkedRole) {
      this.domain.addResourceDependency(
        new iam.CfnServiceLinkedRole(this, 'Linked', { awsServiceName: 'opensearchservice.amazonaws.com' }),
      );
    }
    this.url = `https://${this.domain.attrDomainEndpoint}`;
  }

  /** Lets a group in. */
  admit(id: string, group: ec2.CfnSecurityGroup, description: string): void {
    connect(this, id, group, this.group, `Search cluster ${this.name}`, description);
  }

  /** Lets a role index. Fine-grained access wants it mapped to a role of its own, too: infra/README.md. */
  allow(roleArn: string): void {
    this.clientRoles.push(roleArn);
  }

  /** Alarms on the domain, to the pipeline's topic. */
  watch(watch: Watch): void {
    const alarm = (key: string, metricName: string, statistic: string, threshold: number, comparison: string, why: string) =>
      watch.alarm(`search-${key}`, {
        alarmDescription: why,
        namespace: 'AWS/ES',
        metricName,
        dimensions: [
          { name: 'DomainName', value: this.name },
          { name: 'ClientId', value: Stack.of(this).account },
        ],
        statistic,
        period: 60,
        evaluationPeriods: 10,
        datapointsToAlarm: 5,
        threshold,
        comparisonOperator: comparison,
      });
    const least = 'GreaterThanOrEqualToThreshold';
    alarm('red', 'ClusterStatus.red', 'Maximum', 1, least, 'A primary shard is missing: writes to its index fail, and with them batches.');
    alarm('yellow', 'ClusterStatus.yellow', 'Maximum', 1, least, 'A replica is missing.');
    alarm('writes-blocked', 'ClusterIndexWritesBlocked', 'Maximum', 1, least, 'The cluster takes no writes: it is out of disk or memory.');
    alarm('free-storage', 'FreeStorageSpace', 'Minimum', 20_480, 'LessThanThreshold', 'A node runs out of disk.');
    alarm('cpu', 'CPUUtilization', 'Average', 80, 'GreaterThanThreshold', 'The nodes are busy: documents will be put off.');
    alarm('memory', 'JVMMemoryPressure', 'Maximum', 85, 'GreaterThanThreshold', 'A node runs out of memory.');
  }

  // Who may ask at all. What they may ask is up to fine-grained access, within this.
  private accessPolicies(masterArn: string): object {
    const statement = (Sid: string, AWS: string[], Action: string[], path = '*') => ({
      Sid, Effect: 'Allow', Principal: { AWS }, Action, Resource: `${this.arn}/${path}`,
    });
    return {
      Version: '2012-10-17',
      Statement: [
        ...(this.clientRoles.length > 0 ? [statement('Index', this.clientRoles, ['es:ESHttpPost'], '_bulk')] : []),
        statement('Administer', [masterArn], [
          'es:ESHttpGet', 'es:ESHttpHead', 'es:ESHttpPost', 'es:ESHttpPut', 'es:ESHttpPatch', 'es:ESHttpDelete',
        ]),
      ],
    };
  }
}
