// The generated deployment on a fresh anvil: everything is created where it was foretold, knows the others, and the first
// rows can be published, the split through the timelock.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import test from 'node:test';
import { abi, accounts, deploy, plan, viem } from './deployment.mjs';

const MNEMONIC = 'test test test test test test test test test test test junk'; // anvil's own, public

async function freePort() {
    const server = createServer();
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address();
    await new Promise((done) => server.close(done));
    return port;
}

async function startAnvil() {
    const port = await freePort();
    const child = spawn('anvil', ['--port', String(port), '--silent'], { stdio: 'ignore' });
    const transport = viem.http(`http://127.0.0.1:${port}`);
    const chain = viem.defineChain({ id: 31337, name: 'devnet', nativeCurrency: { name: 'ETH', symbol: 'ETH', decimals: 18 },
        rpcUrls: { default: { http: [`http://127.0.0.1:${port}`] } } });
    const reader = viem.createPublicClient({ chain, transport, pollingInterval: 20 });
    for (let tries = 0; ; tries++) {
        try { await reader.getChainId(); break; } catch (error) { if (tries > 2400) throw error; }
        await new Promise((done) => setTimeout(done, 50));
    }
    const wallet = viem.createWalletClient({ chain, transport, account: accounts.mnemonicToAccount(MNEMONIC) });
    return { child, reader, wallet };
}

test('the generated deployment works', async (t) => {
    const { child, reader, wallet } = await startAnvil();
    t.after(() => child.kill());
    const { address, settings } = await deploy(wallet, reader);
    const read = (contract, functionName, args = []) => reader.readContract({ address: address[contract], abi: abi[contract], functionName, args });
    const write = async (contract, functionName, args, value) => {
        const { request } = await reader.simulateContract({ address: address[contract], abi: abi[contract], functionName, args, value,
            account: wallet.account });
        const receipt = await reader.waitForTransactionReceipt({ hash: await wallet.writeContract(request) });
        assert.equal(receipt.status, 'success');
        return receipt;
    };

    await t.test('addresses are those of chainlite/chains/devnet.json', () => {
        const file = JSON.parse(readFileSync(new URL('../../chainlite/chains/devnet.json', import.meta.url)));
        assert.deepEqual(file.contracts.map((c) => [c.name, c.address]),
            plan.contracts.map(({ name }) => [name, address[name].toLowerCase()]));
        assert.equal(String(file.window_s), plan.settings.window_seconds.devnet);
    });

    await t.test('contracts name each other', async () => {
        for (const [contract, view, other] of [['Escrow', 'settlement', 'Settlement'], ['Escrow', 'rewards', 'Rewards'],
            ['Escrow', 'clock', 'Clock'], ['Settlement', 'escrow', 'Escrow'], ['Settlement', 'challenges', 'Challenges'],
            ['Settlement', 'attributionChallenges', 'AttributionChallenges'], ['AttributionChallenges', 'settlement', 'Settlement'],
            ['AttributionChallenges', 'registry', 'Registry'], ['Rewards', 'registry', 'Registry'], ['Challenges', 'settlement', 'Settlement'], ['BillingNFT', 'rewards', 'Rewards'],
            ['Registry', 'timelock', 'TimelockController']])
            assert.equal(await read(contract, view), address[other], `${contract}.${view}`);
        assert.equal(await read('Settlement', 'windowSeconds'), BigInt(settings.window_seconds));
        assert.equal(await read('WrappedNative', 'symbol'), settings.asset_symbol);
        assert.equal(await read('Clock', 'owner'), wallet.account.address);
    });

    await t.test('domains are those of the protocol', async () => {
        const domain = (name, contract) => viem.hashDomain({ domain: { name, version: '1', chainId: 31337n, verifyingContract: address[contract] },
            types: { EIP712Domain: ['name string', 'version string', 'chainId uint256', 'verifyingContract address'].map((field) => {
                const [label, type] = field.split(' ');
                return { name: label, type };
            }) } });
        assert.equal(await read('Settlement', 'domainSeparator'), domain('OpenLoRA', 'Settlement'));
        assert.equal(await read('Escrow', 'domainSeparator'), domain('OpenLoRA Escrow', 'Escrow'));
    });

    await t.test('an item and a version', async () => {
        await write('Registry', 'createItem', [3, 'SmolLM2-135M-Instruct']);
        const item = viem.keccak256(viem.encodeAbiParameters(viem.parseAbiParameters('uint8,address,string'),
            [3, wallet.account.address, 'SmolLM2-135M-Instruct']));
        assert.equal(await read('Registry', 'nameOf', [item]), 'SmolLM2-135M-Instruct');
        const zero = viem.zeroHash;
        const metadata = viem.keccak256(viem.encodeAbiParameters(viem.parseAbiParameters('bytes32[],bytes32[],bytes32'), [[], [], zero]));
        await write('Registry', 'publishVersion', [{ item, number: 1, contentHash: viem.keccak256('0x01'), baseVersion: zero,
            payee: wallet.account.address, basePpb: 0, metadata }, [], [], zero, 'file:///model']);
        const [, version] = await read('Registry', 'resolve', [item]);
        assert.notEqual(await read('Registry', 'registeredAt', [version]), 0n);
    });

    await t.test('a split through the timelock, and no other way', async () => {
        const split = { modelPpb: 400_000_000, dataPpb: 300_000_000, validatorsPpb: 200_000_000, nodePpb: 100_000_000,
            validatorsPool: wallet.account.address, unattributedPool: wallet.account.address, treasury: wallet.account.address };
        await assert.rejects(write('Registry', 'publishSplit', [split]), /OnlyTimelock/);
        const data = viem.encodeFunctionData({ abi: abi.Registry, functionName: 'publishSplit', args: [split] });
        const call = [address.Registry, 0n, data, viem.zeroHash, viem.zeroHash];
        await write('TimelockController', 'schedule', [...call, 0n]);
        await write('TimelockController', 'execute', call);
        const id = viem.keccak256(viem.encodeAbiParameters(viem.parseAbiParameters(
            'uint32,uint32,uint32,uint32,address,address,address'), Object.values(split)));
        assert.notEqual(await read('Registry', 'registeredAt', [id]), 0n);
    });
});
