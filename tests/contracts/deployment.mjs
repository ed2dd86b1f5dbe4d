// Deploys chainlite/contracts as generated/deploy.json says; for tests that need the contracts on a chain.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const folder = new URL('../../chainlite/contracts/', import.meta.url);
const require = createRequire(new URL('package.json', folder));
export const viem = require('viem');
export const accounts = require('viem/accounts');

const read = (name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
export const plan = read('generated/deploy.json');
export const abi = read('generated/abi.json');

/** Creation bytecode by contract, from the header that the C deployer compiles in. */
function bytecodes() {
    const text = readFileSync(new URL('generated/contracts.h', folder), 'utf8');
    const found = text.matchAll(/\[DEPLOY_\w+\] = \{\n\s*"(\w+)",[^\n]*\n((?:\s*"[0-9a-f]+"\n?)+)/g);
    return Object.fromEntries([...found].map(([, name, code]) => [name, `0x${code.replace(/[^0-9a-f]/g, '')}`]));
}

/** wallet: a viem wallet client with an account; reader: a public client. Returns the addresses by contract. */
export async function deploy(wallet, reader, changes = {}) {
    const account = wallet.account.address;
    const settings = Object.fromEntries(Object.entries(plan.settings).map(([name, s]) => [name, changes[name] ?? s.devnet ?? account]));
    const first = BigInt(await reader.getTransactionCount({ address: account }));
    const address = Object.fromEntries(plan.contracts.map(({ name, nonce }) =>
        [name, viem.getContractAddress({ from: account, nonce: first + BigInt(nonce) })]));
    const value = {
        CONTRACT: (a) => address[a.value], ADDRESS: (a) => settings[a.value], UINT: (a) => BigInt(settings[a.value]),
        TEXT: (a) => settings[a.value], ADDRESSES: (a) => [settings[a.value]], NOBODY: () => viem.zeroAddress,
    };
    const codes = bytecodes();
    for (const { name, args } of plan.contracts) {
        const hash = await wallet.deployContract({ abi: abi[name], bytecode: codes[name], args: args.map((a) => value[a.kind](a)) });
        const { contractAddress, status } = await reader.waitForTransactionReceipt({ hash });
        if (status !== 'success' || !viem.isAddressEqual(contractAddress, address[name]))
            throw new Error(`${name} was created at ${contractAddress} (${status}), not at ${address[name]}`);
    }
    return { address, settings };
}
