import { aws_ec2 as ec2, aws_logs as logs, CfnResource, Fn, Stack, Tags } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { role, Vpc } from './roles';

/** What makes a network. */
export interface NetworkProps {
  readonly name: string;
  readonly cidr: string;
  readonly keyArn: string;
  /** The one bucket that the endpoint of S3 lets through. */
  readonly bucketArn: string;
  /** S3's managed prefix list in the region: infra/README.md says how to ask for it. */
  readonly s3PrefixListId: string;
}

// What is asked through each interface endpoint. lambda: ingest looks at its own mapping. ssm, ssmmessages: the way in.
const ENDPOINTS: Record<string, string[]> = {
  lambda: ['lambda:ListEventSourceMappings', 'lambda:InvokeFunction'],
  ssm: [
    'ssm:UpdateInstanceInformation', 'ssm:ListInstanceAssociations', 'ssm:ListAssociations',
    'ssm:GetDeployablePatchSnapshotForInstance', 'ssm:GetDocument', 'ssm:DescribeDocument',
  ],
  ssmmessages: [
    'ssmmessages:CreateControlChannel', 'ssmmessages:CreateDataChannel', 'ssmmessages:OpenControlChannel',
    'ssmmessages:OpenDataChannel',
  ],
};
const ZONES = 3;

/** A VPC of private subnets without a way out, endpoints for what is used, groups that refer to groups. */
export class Network extends Construct {
  readonly vpcId: string;
  readonly subnetIds: string[];
  readonly functions: ec2.CfnSecurityGroup;
  readonly endpoints: ec2.CfnSecurityGroup;

  constructor(scope: Construct, id: string, props: NetworkProps) {
    super(scope, id);
    const { name } = props;
    const { account, region } = Stack.of(this);
    const named = (resource: Construct, suffix = '') => Tags.of(resource).add('Name', `${name}${suffix}`);

    const vpc = new ec2.CfnVPC(this, 'Vpc', { cidrBlock: props.cidr, enableDnsSupport: true, enableDnsHostnames: true });
    named(vpc);
    this.vpcId = vpc.ref;
    const blocks = Fn.cidr(props.cidr, 16, '12');
    const routeTables: string[] = [];
    this.subnetIds = Array.from({ length: ZONES }, (_, zone) => {
      const subnet = new ec2.CfnSubnet(this, `Subnet${zone}`, {
        vpcId: vpc.ref,
        availabilityZone: Fn.select(zone, Fn.getAzs()),
        cidrBlock: Fn.select(zone, blocks),
      });
      const routeTable = new ec2.CfnRouteTable(this, `Routes${zone}`, { vpcId: vpc.ref });
      new ec2.CfnSubnetRouteTableAssociation(this, `Association${zone}`, { subnetId: subnet.ref, routeTableId: routeTable.ref });
      named(subnet, `-private-${zone}`);
      named(routeTable, `-private-${zone}`);
      routeTables.push(routeTable.ref);
      return subnet.ref;
    });

    this.functions = this.group('functions', name, 'Functions of Tripline: nobody calls them over the network');
    this.endpoints = this.group('endpoints', name, 'Interface endpoints');
    connect(this, 'FunctionsToEndpoints', this.functions, this.endpoints, 'APIs of AWS', 'Functions');
    new ec2.CfnSecurityGroupEgress(this, 'FunctionsToS3', {
      groupId: this.functions.attrGroupId,
      description: 'S3, by the gateway endpoint',
      destinationPrefixListId: props.s3PrefixListId,
      ipProtocol: 'tcp',
      fromPort: 443,
      toPort: 443,
    });

    const s3 = new ec2.CfnVPCEndpoint(this, 's3', {
      vpcId: vpc.ref,
      serviceName: `com.amazonaws.${region}.s3`,
      vpcEndpointType: 'Gateway',
      routeTableIds: routeTables,
      policyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Sid: 'OwnBuckets',
            Effect: 'Allow',
            Principal: '*',
            Action: [
              's3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:ListBucket', 's3:GetBucketLocation',
              's3:AbortMultipartUpload', 's3:ListMultipartUploadParts', 's3:ListBucketMultipartUploads',
            ],
            Resource: [props.bucketArn, `${props.bucketArn}/*`],
            Condition: { StringEquals: { 'aws:PrincipalAccount': account, 'aws:ResourceAccount': account } },
          },
        ],
      },
    });
    named(s3, '-s3');
    for (const [service, actions] of Object.entries(ENDPOINTS)) {
      const endpoint = new ec2.CfnVPCEndpoint(this, service, {
        vpcId: vpc.ref,
        serviceName: `com.amazonaws.${region}.${service}`,
        vpcEndpointType: 'Interface',
        subnetIds: this.subnetIds,
        securityGroupIds: [this.endpoints.attrGroupId],
        privateDnsEnabled: true,
        policyDocument: {
          Version: '2012-10-17',
          Statement: [
            {
              Sid: 'OwnAccount',
              Effect: 'Allow',
              Principal: { AWS: '*' },
              Action: actions,
              Resource: '*',
              Condition: { StringEquals: { 'aws:PrincipalAccount': account } },
            },
          ],
        },
      });
      named(endpoint, `-${service}`);
    }
    this.flowLogs(props);
  }

  /** Where functions go. */
  vpc(): Vpc {
    return { subnetIds: this.subnetIds, securityGroupIds: [this.functions.attrGroupId] };
  }

  /** A group that lets nobody in and nothing out. */
  group(id: string, name: string, groupDescription: string): ec2.CfnSecurityGroup {
    const group = new ec2.CfnSecurityGroup(this, id, {
      groupName: `${name}-${id}`,
      groupDescription,
      vpcId: this.vpcId,
      // Without a rule of its own a new group may go everywhere; this one goes nowhere.
      securityGroupEgress: [{ cidrIp: '127.0.0.1/32', ipProtocol: '-1', description: 'Nowhere' }],
    });
    Tags.of(group).add('Name', `${name}-${id}`);
    return group;
  }

  private flowLogs(props: NetworkProps): void {
    const { name, keyArn } = props;
    const { account, partition, region } = Stack.of(this);
    const logGroupName = `/tripline/${name}/flow`;
    const group = new logs.CfnLogGroup(this, 'FlowLog', { logGroupName, retentionInDays: 14, kmsKeyId: keyArn });
    const arn = `arn:${partition}:logs:${region}:${account}:log-group:${logGroupName}`;
    const writer = role(this, 'Flow', {
      name: `${name}-flow`,
      description: 'Flow logs',
      service: 'vpc-flow-logs.amazonaws.com',
      condition: { StringEquals: { 'aws:SourceAccount': account } },
      policy: 'log',
      statements: [
        {
          Sid: 'Log',
          Effect: 'Allow',
          Action: ['logs:CreateLogStream', 'logs:PutLogEvents', 'logs:DescribeLogStreams'],
          Resource: `${arn}:*`,
        },
      ],
    });
    const flow = new ec2.CfnFlowLog(this, 'Flows', {
      resourceType: 'VPC',
      resourceId: this.vpcId,
      trafficType: 'ALL',
      logDestination: arn,
      deliverLogsPermissionArn: writer.arn,
    });
    flow.addResourceDependency(group);
    flow.addResourceDependency(writer.policy);
    Tags.of(flow).add('Name', name);
  }
}

/** Lets one group come in to another by HTTPS. */
export function connect(
  scope: Construct, id: string, from: ec2.CfnSecurityGroup, to: ec2.CfnSecurityGroup, out: string, inward: string,
): CfnResource[] {
  const port = { ipProtocol: 'tcp', fromPort: 443, toPort: 443 };
  return [
    new ec2.CfnSecurityGroupEgress(scope, `${id}Out`, {
      groupId: from.attrGroupId, destinationSecurityGroupId: to.attrGroupId, description: out, ...port,
    }),
    new ec2.CfnSecurityGroupIngress(scope, `${id}In`, {
      groupId: to.attrGroupId, sourceSecurityGroupId: from.attrGroupId, description: inward, ...port,
    }),
  ];
}
