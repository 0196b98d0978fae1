#!/usr/bin/env bash
# Tests of infra/: CDK's templates beside the contract and under cfn-lint; formatting, validation, `terraform test` with
# mocked providers; tables, contract, packages and costs; the roles beside what the built functions ask of real servers. No
# account, no network but for what is not installed yet.
#
# usage: run.sh [--apply] [--lint] [FOLDER…]
#
#   --apply   also puts two examples up on moto, an AWS emulator, reads them back and destroys them
#   --lint    also runs checkov
#   FOLDER    only these of Terraform's modules and examples, as in modules/lake; `cdk` for the templates, `iam` for the roles
#
# The AWS provider comes from a mirror, where there is one (TRIPLINE_TF_MIRROR names it), else from the registry.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/tripline"
apply=false lint=false only=()
for argument in "$@"; do
  case "$argument" in
    --apply) apply=true ;;
    --lint) lint=true ;;
    -*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    *) only+=("$argument") ;;
  esac
done

left_out() {
  echo "left out: infra: $*"
}

# Everything is done on a copy, so that no state, lock or provider is left in the checkout.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
tar --create --exclude=.terraform --exclude=node_modules --exclude=build --exclude=cdk.out infra | tar --extract --directory "$work"
export PYTHONDONTWRITEBYTECODE=1

# A folder for what the further checks need, made anew when their requirements change.
venv() {
  local venv="$cache/venv-$1" requirements="tests/infra/$1.txt"
  if ! cmp -s "$requirements" "$venv/requirements"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --requirement "$requirements" || return 1
    cp "$requirements" "$venv/requirements"
  fi
}

# Modules of Node, installed once for each lock file.
node_modules() {
  local cached
  cached="$cache/cdk-$(sha256sum infra/cdk/package-lock.json | cut -c1-16)"
  if [[ ! -e "$cached/ready" ]]; then
    mkdir -p "$cached"
    cp infra/cdk/{package.json,package-lock.json,.npmrc} "$cached"
    npm ci --silent --prefix "$cached" || return 1
    touch "$cached/ready"
  fi
  ln -s "$cached/node_modules" "$work/infra/cdk/node_modules"
}

# What CDK makes of infra/cdk: the app's stacks, and the templates for CloudFormation alone.
synthesize() {
  local made="$work/synthesized"
  (
    cd "$work/infra/cdk"
    node_modules/.bin/tsc
    CDK_OUTDIR="$made/app" node build/app.js
    node build/template.js "$made/template"
  )
}

cdk() {
  if ! command -v node npm > /dev/null || (( $(node --version | tr -d v | cut -d. -f1) < 20 )); then
    left_out "CDK: Node.js 20 or later is not installed"
    return
  fi
  if ! node_modules; then
    left_out "CDK: its packages cannot be installed"
    return
  fi
  echo "cdk synth"
  CDK_CONTEXT_JSON="$(printf '{"packageFolder":"%s","searchMasterArn":"arn:aws:iam::111122223333:role/admin","s3PrefixList":"pl-0123456789abcdef0","successEvents":"true"}' \
    "$work/infra/terraform/modules/pipeline/tests/package")" synthesize
  export TRIPLINE_CDK="$work/synthesized"
  if venv infra-cdk; then
    echo "cfn-lint"
    "$cache/venv-infra-cdk/bin/cfn-lint" --config-file tests/infra/cfnlintrc.yaml -- "$TRIPLINE_CDK"/*/*.template.json
  else
    left_out "cfn-lint cannot be installed"
  fi
}

wanted() {
  (( ! ${#only[@]} )) || [[ " ${only[*]} " == *" $1 "* ]]
}

# The functions' binaries are those that the tests of Rust have built.
iam() {
  wanted iam || return 0
  echo "roles: what the functions call is allowed, and nothing else"
  if [[ -z "${TRIPLINE_CDK:-}${TRIPLINE_TERRAFORM:-}" ]]; then
    left_out "the roles: there are policies neither of CDK nor of Terraform"
    [[ "${CI:-}" != true ]]
    return
  fi
  python3 tests/infra/iam.py
}

if wanted cdk || wanted iam; then
  cdk
fi

echo "contract, tables, templates, packages, costs"
python3 -m unittest discover --start-directory tests/infra --pattern 'test_*.py'
[[ "${only[*]}" != cdk ]] || exit 0

if ! command -v terraform > /dev/null; then
  left_out "terraform is not installed"
  iam
  exit
fi

# A preset that names no file would be warned about by each command.
[[ -e "${TF_CLI_CONFIG_FILE:-}" ]] || unset TF_CLI_CONFIG_FILE
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_INPUT=0

# Where packagers put providers, besides the places in which Terraform looks by itself.
mirror() {
  if [[ -n "${TRIPLINE_TF_MIRROR:-}" ]]; then
    echo "$TRIPLINE_TF_MIRROR"
    return
  fi
  local prefix found
  prefix="$(dirname "$(dirname "$(command -v terraform)")")"
  found="$(find -L "$prefix/share" "$prefix/lib" /opt -maxdepth 4 -type d -path '*/registry.terraform.io/hashicorp/aws' \
    -print -quit 2> /dev/null || true)"
  echo "${found%/registry.terraform.io/hashicorp/aws}"
}
found="$(mirror)"
if [[ -n "$found" ]]; then
  export TF_CLI_ARGS_init="-plugin-dir=$found"
else
  export TF_PLUGIN_CACHE_DIR="$cache/terraform-plugins" TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE=true
  mkdir -p "$TF_PLUGIN_CACHE_DIR"
fi

# Whether the provider can be had, apart from what is to be tested.
mkdir "$work/probe"
cp infra/terraform/modules/stream/versions.tf "$work/probe"
if ! terraform -chdir="$work/probe" init > "$work/probe.log" 2>&1; then
  tail -n 5 "$work/probe.log"
  left_out "the AWS provider can be had neither from a mirror (TRIPLINE_TF_MIRROR) nor from the registry"
  iam
  exit
fi

echo "terraform fmt"
terraform fmt -check -recursive -diff infra/terraform

check() {
  local folder="$1" log
  log="$work/${folder//\//-}.log"
  if (
    cd "$work/infra/terraform/$folder"
    terraform init -no-color && terraform validate -no-color && terraform test -no-color
  ) > "$log" 2>&1; then
    printf '%-28s %s\n' "$folder" "$(tail -n 1 "$log")"
  else
    cat "$log"
    printf '%-28s failed\n' "$folder"
    return 1
  fi
}
export -f check
export work

folders=("${only[@]}")
(( ${#only[@]} )) || mapfile -t folders < <(cd infra/terraform && ls -d modules/* examples/*)
printf '%s\n' "${folders[@]}" | { grep -vxE 'cdk|iam' || true; } | xargs -r -P 2 -I{} bash -euo pipefail -c 'check {}'

# The modules' policies as they come out, of a folder of its own: the modules' tests stay as they are.
policies() {
  cp -r "$work/infra" "$work/rendered"
  cp tests/infra/iam.tftest.hcl "$work/rendered/terraform/modules/pipeline/tests"
  (
    cd "$work/rendered/terraform/modules/pipeline"
    terraform init -no-color > "$work/rendered.log" && terraform test -json -verbose -filter=tests/iam.tftest.hcl > "$work/rendered.json"
  ) || { grep -h '"@level":"error"' "$work/rendered.json" || cat "$work/rendered.log"; return 1; }
  export TRIPLINE_TERRAFORM="$work/rendered.json"
}

if wanted iam; then
  policies
  iam
fi

if $lint; then
  if venv infra-lint; then
    echo "checkov"
    "$cache/venv-infra-lint/bin/checkov" --config-file tests/infra/checkov.yaml --directory infra/terraform
  else
    left_out "checkov cannot be installed"
  fi
fi

if $apply; then
  if venv infra-apply; then
    "$cache/venv-infra-apply/bin/python" tests/infra/apply.py "$work/infra"
  else
    left_out "moto cannot be installed"
  fi
fi
