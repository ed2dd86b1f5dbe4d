#!/usr/bin/env node
// What a challenger would hold against a node, from the bodies that it published, by viem alone: every data posting of a
// receipt with a policy, every share and every statement is taken to the contracts on a chain. An honest node is never
// convicted; with some units taken from a share, and the statement signed anew by the node's key, it always is.
//
//   node tests/fault/challenge.mjs CASE.json
//
// CASE: {"url","settlement","challenges","chain_id","node_key","one_of":n,"batches":[{"submitted_at","body"}…]} with bodies as
// paths, by number, none final; of every n-th receipt. Prints {"honest":n,"convicted":n}; exit status 1 names the first surprise.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const folder = new URL('../../chainlite/contracts/', import.meta.url);
const require = createRequire(new URL('package.json', folder));
const viem = require('viem');
const { privateKeyToAccount } = require('viem/accounts');
const abi = JSON.parse(readFileSync(new URL('generated/abi.json', folder), 'utf8')).AttributionChallenges;

const made = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const client = viem.createPublicClient({ transport: viem.http(made.url) });
const account = privateKeyToAccount(made.node_key);
const { keccak256, encodePacked, zeroHash, zeroAddress } = viem;

// ---- structs as the ABI has them, filled from the bodies' keys (nothing there: zero)

const snake = (name) => name.replace(/[A-Z]/g, (c) => '_' + c.toLowerCase());
const inputOf = (name, argument) => abi.find((x) => x.name === name).inputs.find((x) => x.name === argument);
const DATA = inputOf('wrongDataPosting', 'part').components, part = (name) => DATA.find((x) => x.name === name);
const SHAPE = { batch: inputOf('wrongDataPosting', 'batch'), proof: part('receipt').components[0],
    statement: part('signed').components[0], ...Object.fromEntries(part('rows').components.map((c) => [c.name, c])) };

function fill(shape, row = {}) {
    return Object.fromEntries(shape.components.map(({ name, type }) => {
        const value = row[snake(name)] ?? row[`${snake(name)}_wei`];
        if (type === 'bytes32') return [name, value ?? zeroHash];
        if (type === 'address') return [name, value ?? zeroAddress];
        return [name, /^u?int(8|32)$/.test(type) ? Number(value ?? 0) : BigInt(value ?? 0)];
    }));
}
const idOf = (shape, row) => keccak256(viem.encodeAbiParameters(shape.components, shape.components.map((c) => fill(shape, row)[c.name])));

// ---- trees

const inner = ([lh, ls], [rh, rs]) => [keccak256(encodePacked(['uint8', 'bytes32', 'uint128', 'bytes32', 'uint128'], [3, lh, ls, rh, rs])), ls + rs];
const halves = (leaves) => {
    let k = 1;
    while (2 * k < leaves.length) k *= 2;
    return [leaves.slice(0, k), leaves.slice(k)];
};
function root(leaves) {
    if (leaves.length < 2) return leaves[0] ?? [zeroHash, 0n];
    const [left, right] = halves(leaves);
    return inner(root(left), root(right));
}
function siblings(leaves, index) {
    if (leaves.length === 1) return [];
    const [left, right] = halves(leaves);
    const [rest, other] = index < left.length ? [siblings(left, index), right] : [siblings(right, index - left.length), left];
    const [hash, sum] = root(other);
    return [...rest, { hash, sum }];
}
const path = (leaves, index) => ({ index, siblings: siblings(leaves, index) });

const typed = (shape) => shape.components.map(({ name, type }) => ({ name, type }));
const structHash = (type, shape, row) => viem.hashStruct({ data: fill(shape, row), primaryType: type, types: { [type]: typed(shape) } });
const receiptLeaf = (r) => [keccak256(encodePacked(['uint8', 'bytes32', 'uint128'], [2, structHash('BillingProof', SHAPE.proof, r.proof),
    BigInt(r.settled)])), BigInt(r.settled)];
const postingLeaf = ([to, sequence, role, amount]) => [keccak256(encodePacked(['uint8', 'address', 'uint64', 'uint8', 'uint128'],
    [4, to, BigInt(sequence), role, BigInt(amount)])), BigInt(amount)];
const shareLeaf = ([to, spans, gradients]) => [keccak256(encodePacked(['uint8', 'address', 'uint32', 'uint32'], [6, to, spans, gradients])),
    BigInt(spans + gradients)];

// ---- evidence

const batches = made.batches.map(({ submitted_at, body }) => {
    const bytes = readFileSync(body), parsed = JSON.parse(bytes), body_hash = viem.sha256(bytes);
    return { header: fill(SHAPE.batch, { ...parsed.batch, submitted_at, body_hash }), body: parsed };
});
for (const b of batches) Object.assign(b, { receipts: b.body.receipts.map(receiptLeaf), postings: b.body.postings.map(postingLeaf) });
const cut = { kept: fill(SHAPE.batch), first: batches[0].header };

const share = (list, i) => (i >= 0 && i < list.length ? { share: { beneficiary: list[i][0], spanUnits: list[i][1], gradientUnits: list[i][2] },
    path: path(list.map(shareLeaf), i) } : { share: { beneficiary: zeroAddress, spanUnits: 0, gradientUnits: 0 }, path: { index: 0, siblings: [] } });
function place(list, who) {
    let at = 0;
    while (at < list.length && list[at][0] < who) at++;
    return { at, left: share(list, at - 1), right: share(list, at) };
}
const posting = (b, i) => {
    const [beneficiary, sequence, role, amount] = b.body.postings[i];
    return { posting: { beneficiary, sequence: BigInt(sequence), role, amount: BigInt(amount) }, path: path(b.postings, i) };
};

async function sign(statement, list) {
    const [hash, total] = root(list.map(shareLeaf));
    const row = { ...statement, shares_root: hash, shares_total: Number(total), shares_count: list.length };
    const signature = await account.signTypedData({ domain: { name: 'OpenLoRA', version: '1', chainId: made.chain_id,
        verifyingContract: made.settlement }, types: { AttributionStatement: typed(SHAPE.statement) }, primaryType: 'AttributionStatement',
    message: fill(SHAPE.statement, row) });
    return { statement: row, signature, shares: list };
}

const named = new Map();
for (const { body } of batches)
    for (const [shape, rows] of [['top', body.rows.versions], ['price', body.rows.prices], ['split', body.rows.splits]])
        for (const row of rows) named.set(idOf(SHAPE[shape], row), row);

function dataPart(before, index, signed, who) {
    const { proof, settled } = before.body.receipts[index], adapted = proof.adapter_version !== zeroHash;
    const row = (shape, id) => fill(SHAPE[shape], named.get(id));
    return { receipt: { proof: fill(SHAPE.proof, proof), settled: BigInt(settled), path: path(before.receipts, index) },
        rows: { price: row('price', proof.price_id), split: row('split', proof.split_id),
            top: row('top', adapted ? proof.adapter_version : proof.model_version), base: row('base', proof.model_version),
            policy: row('policy', proof.attribution_policy) },
        signed: { statement: fill(SHAPE.statement, signed.statement), signature: signed.signature }, place: place(signed.shares, who) };
}

/** The name of the error that the call ends with, or "convicted". */
async function call(functionName, ...args) {
    const data = viem.encodeFunctionData({ abi, functionName, args });
    try {
        await client.call({ account: '0x00000000000000000000000000000000000ca201', to: made.challenges, data });
        return 'convicted';
    } catch (error) {
        const raw = error.walk?.((e) => typeof e.data === 'string' && e.data.startsWith('0x'))?.data;
        return raw ? viem.decodeErrorResult({ abi, data: raw }).errorName : String(error);
    }
}

const seen = { honest: 0, convicted: 0 };
async function expect(result, outcome, what) {
    if ((await result) !== outcome) throw new Error(`${what}: ${await result}, not ${outcome}`);
    seen[outcome === 'convicted' ? 'convicted' : 'honest']++;
}

for (let n = 1; n < batches.length; n++) {
    const [before, b] = [batches[n - 1], batches[n]];
    for (const signed of b.body.statements) {
        const { sequence } = signed.statement, index = sequence - before.body.batch.first_sequence, what = `receipt ${sequence}`;
        if (index % made.one_of !== 0) continue;
        const proof = before.body.receipts[index], leaf = { proof: fill(SHAPE.proof, proof.proof), settled: 0n, path: { index: 0, siblings: [] } };
        const word = { statement: fill(SHAPE.statement, signed.statement), signature: signed.signature };
        await expect(call('wrongStatement', cut, { leaf, signature: proof.signature, batch: cut.kept }, word), 'NoFault', `${what}, statement`);
        for (let i = 0; i < signed.shares.length; i++)
            await expect(call('wrongShare', cut, word, share(signed.shares, i)), 'NoFault', `${what}, share ${i}`);
        const moved = signed.shares.map((s) => [...s]);
        const first = moved.find((s) => s[1] > 1e6); // who has a millionth more than the lie says
        if (first) first[1] -= 1e6;
        const lie = first ? await sign(signed.statement, moved) : null;
        for (const [i, p] of b.body.postings.entries()) {
            if (p[1] !== sequence || (p[2] !== 3 && p[2] !== 7)) continue;
            const challenge = (s) => call('wrongDataPosting', cut, b.header, before.header, posting(b, i), dataPart(before, index, s, p[0]));
            await expect(challenge(signed), 'NoFault', `${what}, posting ${i}`);
            if (lie && (p[0] === first[0] || p[2] === 7)) await expect(challenge(lie), 'convicted', `${what}, posting ${i} against a lie`);
        }
        if (lie) await expect(call('statementEquivocation', cut, word, { statement: fill(SHAPE.statement, lie.statement),
            signature: lie.signature }), 'convicted', `${what}, two statements`);
    }
}
console.log(JSON.stringify(seen));
