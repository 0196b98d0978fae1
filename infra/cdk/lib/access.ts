import { aws_ec2 as ec2, aws_iam as iam, Tags } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { connect, Network } from './network';
import { role } from './roles';

const IMAGE = '/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64';

/**
 * A way in without an open port, a key or a public address: an instance to which Session Manager forwards. Who may use
 * it is up to IAM (ssm:StartSession). It keeps nothing, so a newer image may replace it with any update.
 */
export class Entrance extends Construct {
  readonly group: ec2.CfnSecurityGroup;
  readonly instanceId: string;

  constructor(scope: Construct, id: string, props: { name: string; network: Network }) {
    super(scope, id);
    const { name, network } = props;
    this.group = network.group('access', name, 'Forwards ports by Session Manager; nobody comes in');
    connect(this, 'ToEndpoints', this.group, network.endpoints, 'Session Manager', 'Instance of Session Manager');
    const own = role(this, 'Instance', {
      name: `${name}-access`,
      description: "Session Manager's instance",
      service: 'ec2.amazonaws.com',
      policy: 'session-manager',
      statements: [
        {
          // What the agent needs for sessions: a part of AmazonSSMManagedInstanceCore.
          Sid: 'Sessions',
          Effect: 'Allow',
          Action: [
            'ssm:UpdateInstanceInformation', 'ssmmessages:CreateControlChannel', 'ssmmessages:CreateDataChannel',
            'ssmmessages:OpenControlChannel', 'ssmmessages:OpenDataChannel',
          ],
          Resource: '*', // The channels have no resources of their own.
        },
      ],
    });
    const profile = new iam.CfnInstanceProfile(this, 'Profile', { instanceProfileName: `${name}-access`, roles: [`${name}-access`] });
    profile.addResourceDependency(own.policy);
    const instance = new ec2.CfnInstance(this, 'Access', {
      imageId: `{{resolve:ssm:${IMAGE}}}`,
      instanceType: 't4g.nano',
      subnetId: network.subnetIds[0],
      securityGroupIds: [this.group.attrGroupId],
      iamInstanceProfile: profile.ref,
      ebsOptimized: true,
      monitoring: true,
      metadataOptions: { httpTokens: 'required', httpPutResponseHopLimit: 1 },
      blockDeviceMappings: [{ deviceName: '/dev/xvda', ebs: { encrypted: true, volumeType: 'gp3' } }],
    });
    Tags.of(instance).add('Name', `${name}-access`);
    this.instanceId = instance.ref;
  }
}
