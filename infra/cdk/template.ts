// The same stacks as templates for CloudFormation alone: zips by bucket and prefix, no bootstrap, no CDK.
//
// usage: node build/template.js FOLDER [PIPELINE]

import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, aws_lambda as lambda, CfnCondition, CfnParameter, DefaultStackSynthesizer, Fn, Stack } from 'aws-cdk-lib';
import { fromBucket } from './lib/packages';
import { QuickstartProps, TriplinePrivate, TriplineQuickstart } from './stacks';

const [folder, pipeline = 'taxi'] = process.argv.slice(2);
if (!folder) throw new Error('usage: node build/template.js FOLDER [PIPELINE]');

const work = mkdtempSync(join(tmpdir(), 'tripline-template-'));
const app = new App({ outdir: work });

// A stack's parameters are made before the stack is, so each is a text that refers to one by its name.
const ref = (parameter: string) => Fn.ref(parameter);
const synthesizer = () => new DefaultStackSynthesizer({ generateBootstrapVersionRule: false });
const common = (): QuickstartProps => ({
  name: ref('Name'),
  pipeline,
  packages: fromBucket(ref('PackageBucket'), ref('PackagePrefix')),
  architecture: lambda.Architecture.custom(ref('Architecture')),
  alarmEmails: [ref('AlarmEmail')],
  synthesizer: synthesizer(),
  analyticsReporting: false,
});

function parameters(stack: Stack & { tripline: { watch: { subscriptions: { cfnOptions: { condition?: CfnCondition } }[] } } }) {
  new CfnParameter(stack, 'Name', {
    default: 'tripline-trips',
    allowedPattern: '^[a-z][a-z0-9-]{1,26}$',
    constraintDescription: '2 to 27 lower-case letters, digits and dashes, a letter first',
    description: 'Name of the deployment, of its stream and of its functions',
  });
  new CfnParameter(stack, 'PackageBucket', {
    allowedPattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
    description: 'Bucket, of this region, with ingest.zip and publish.zip',
  });
  new CfnParameter(stack, 'PackagePrefix', {
    default: '',
    allowedPattern: '^$|^[^/].*/$',
    constraintDescription: 'Empty, or a prefix that ends in a slash',
    description: 'Where they lie in it, with a slash at the end. Another one for each build: else functions are not updated',
  });
  new CfnParameter(stack, 'Architecture', {
    default: 'x86_64',
    allowedValues: ['x86_64', 'arm64'],
    description: 'What the zips are built for',
  });
  new CfnParameter(stack, 'AlarmEmail', { default: '', description: 'Who gets alarms; empty for nobody' });
  const condition = new CfnCondition(stack, 'HasAlarmEmail', {
    expression: Fn.conditionNot(Fn.conditionEquals(ref('AlarmEmail'), '')),
  });
  for (const subscription of stack.tripline.watch.subscriptions) subscription.cfnOptions.condition = condition;
}

parameters(new TriplineQuickstart(app, 'kinesis-quickstart', common()));

const inside = new TriplinePrivate(app, 'kinesis-private', {
  ...common(),
  cidr: ref('Cidr'),
  s3PrefixListId: ref('S3PrefixList'),
  searchMasterArn: ref('SearchMasterArn'),
  searchInstanceType: ref('SearchInstanceType'),
  searchVolumeGib: 100,
  serviceLinkedRole: false,
  tracing: false,
});
parameters(inside);
new CfnParameter(inside, 'Cidr', {
  default: '10.42.0.0/16',
  allowedPattern: '^[0-9.]+/(1[6-9]|20)$',
  description: 'Addresses of the VPC. For peering they must overlap with no other network',
});
new CfnParameter(inside, 'S3PrefixList', {
  allowedPattern: '^pl-[0-9a-f]+$',
  description: "S3's managed prefix list in this region: aws ec2 describe-managed-prefix-lists",
});
new CfnParameter(inside, 'SearchMasterArn', {
  allowedPattern: '^arn:[a-z-]+:iam::[0-9]{12}:.+$',
  description: "The role or user that the domain's fine-grained access begins with: yours",
});
new CfnParameter(inside, 'SearchInstanceType', { default: 'r7g.large.search', description: 'Nodes of the domain, three of them' });

mkdirSync(folder, { recursive: true });
for (const { templateFullPath, stackName } of app.synth().stacks) {
  copyFileSync(templateFullPath, join(folder, `${stackName}.template.json`));
}
rmSync(work, { recursive: true });
