import { aws_kms as kms, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';

/**
 * One customer managed key for a deployment. The services that use it on their own (logs, alarms' topics) are named in
 * its policy; functions get their share by their roles.
 */
export function ownKey(scope: Construct, name: string): string {
  const { account, partition, region } = Stack.of(scope);
  const key = new kms.CfnKey(scope, 'Key', {
    description: `Tripline ${name}`,
    enableKeyRotation: true,
    pendingWindowInDays: 30,
    keyPolicy: {
      Version: '2012-10-17',
      Statement: [
        {
          // The only wildcard here: a key whose policy does not leave the account in charge can be locked away from
          // everyone, and IAM policies have no effect on it.
          Sid: 'Account',
          Effect: 'Allow',
          Principal: { AWS: `arn:${partition}:iam::${account}:root` },
          Action: 'kms:*',
          Resource: '*',
        },
        {
          Sid: 'Logs',
          Effect: 'Allow',
          Principal: { Service: `logs.${region}.amazonaws.com` },
          Action: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncryptFrom', 'kms:ReEncryptTo', 'kms:GenerateDataKey', 'kms:DescribeKey'],
          Resource: '*',
          Condition: {
            ArnLike: { 'kms:EncryptionContext:aws:logs:arn': `arn:${partition}:logs:${region}:${account}:log-group:*` },
          },
        },
        {
          // Alarms publish to an encrypted topic as the service, not as anybody's role.
          Sid: 'Alarms',
          Effect: 'Allow',
          Principal: { Service: 'cloudwatch.amazonaws.com' },
          Action: ['kms:Decrypt', 'kms:GenerateDataKey'],
          Resource: '*',
          Condition: { StringEquals: { 'aws:SourceAccount': account } },
        },
      ],
    },
  });
  new kms.CfnAlias(scope, 'KeyAlias', { aliasName: `alias/${name}`, targetKeyId: key.ref });
  return key.attrArn;
}
