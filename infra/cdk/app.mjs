// The SAM template as a CDK app: one truth, two ways to deploy it. `cdk deploy` uploads the functions that
// `cargo lambda build` has made; docs/operations.md has the commands.
//
//   -c stack=NAME        the name of the stack (statuspulse)
//   -c functions=FOLDER  where FOLDER/functions/bootstrap is (target/lambda)

import { App, DefaultStackSynthesizer, Stack, Validations } from 'aws-cdk-lib';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const HERE = import.meta.dirname;

/** The template in a stack, with the code of its functions. */
export class StatusPulse extends Stack {
  constructor(app, { name, functions }) {
    super(app, name, {
      // The template says which version of the toolkit's bucket it needs: none of its own.
      synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }),
      analyticsReporting: false,
    });
    const template = new CfnInclude(this, 'Template', {
      templateFile: join(HERE, '../template.yaml'),
      // A function names the alarms that stop its deployment, and they name the function. SAM makes two resources of it.
      allowCyclicalReferences: true,
    });
    const resources = template.node.findAll();
    const assets = new Map();
    for (const resource of resources.filter((node) => node.cfnResourceType === 'AWS::Serverless::Function')) {
      const binary = resource.cfnOptions.metadata.BuildProperties.Binary;
      if (!assets.has(binary)) {
        const folder = join(functions, binary);
        if (!existsSync(join(folder, 'bootstrap'))) {
          throw new Error(`${folder} has no bootstrap: build the functions first (docs/operations.md)`);
        }
        assets.set(binary, new Asset(this, `Code-${binary}`, { path: folder }));
      }
      const code = assets.get(binary);
      resource.codeUri = { bucket: code.s3BucketName, key: code.s3ObjectKey };
    }
    Validations.of(this).acknowledge(
      { id: 'CloudFormation-Validate::W1001', reason: 'the output has the same condition, inside its Fn::If' },
      { id: 'CloudFormation-Validate::W1030', reason: 'an empty parameter removes what refers to it' },
    );
  }
}

/** The app, as the command line asks for it. */
export function app(context = {}) {
  const app = new App({ context });
  const name = app.node.tryGetContext('stack') ?? 'statuspulse';
  const functions = app.node.tryGetContext('functions') ?? join(HERE, '../../target/lambda');
  const stack = new StatusPulse(app, { name, functions });
  return { app, stack };
}

if (process.argv[1] === import.meta.filename) {
  app().app.synth();
}
