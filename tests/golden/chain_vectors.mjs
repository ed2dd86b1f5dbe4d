// For test_chain_codecs.py: random requests of tests/tools/chain_dump.c with the answers that viem gives, one pair a
// line with a tab between. The same seed gives the same lines.
//   node chain_vectors.mjs PATH_TO_VIEM COUNT SEED
import {pathToFileURL} from 'node:url'

const [modules, count, seed] = process.argv.slice(2)
const load = name => import(pathToFileURL(`${modules}/${name}/_esm/index.js`).href)
const viem = await load('viem')
const {privateKeyToAccount, sign} = await import(pathToFileURL(`${modules}/viem/_esm/accounts/index.js`).href)

let state = BigInt(seed)
function random(bits) { // a linear congruential generator's high bits; sizes vary
    let out = 0n
    for (let i = 0; i < bits; i += 32) {
        state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n)
        out = out << 32n | state >> 32n
    }
    return out & ((1n << BigInt(bits)) - 1n)
}
const below = n => Number(random(32)) % n
const some = bits => random(bits) >> BigInt(below(bits + 1)) // of any magnitude, zero and all ones among them
const hex = bytes => bytes ? viem.toHex(random(8 * bytes), {size: bytes}) : '0x'
const secret = () => hex(31).replace('0x', '0x00') // below the group order
const address = () => viem.getAddress(hex(20)).toLowerCase()
const signed = bits => some(bits - 1) * (below(2) ? 1n : -1n)
const length = () => [0, 1, 2, 31, 32, 33, 55, 56, 57, 135, 136, 137, 255, 256, 257, 1000][below(16)]

function tree(depth) {
    if (depth === 0 || below(3) === 0)
        return below(4) ? hex(below(3) ? below(4) : length()) : '0x'
    return Array.from({length: below(6)}, () => tree(depth - 1))
}
const tokens = item => Array.isArray(item) ? ['[', ...item.flatMap(tokens), ']'] : [item]

const requests = {
    keccak() {
        const data = hex(below(3) ? length() : below(700))
        return [[data], viem.keccak256(data)]
    },
    address() {
        const key = secret()
        return [[key], privateKeyToAccount(key).address.toLowerCase()]
    },
    create() {
        const from = address(), nonce = some(64)
        return [[from, nonce], viem.getContractAddress({from, nonce}).toLowerCase()]
    },
    checksum() {
        const a = address()
        return [[a], viem.getAddress(a)]
    },
    async sign() {
        const key = secret(), hash = hex(32)
        return [[key, hash], await sign({hash, privateKey: key, to: 'hex'})]
    },
    async recover() {
        const key = secret(), hash = hex(32)
        return [[hash, await sign({hash, privateKey: key, to: 'hex'})], privateKeyToAccount(key).address.toLowerCase()]
    },
    rlp() {
        const item = tree(4)
        return [tokens(item), viem.toRlp(item)]
    },
    abi() {
        const text = 'Zürich '.repeat(below(9))
        const args = [some(64), signed(64), some(128), below(2) === 1, address(), hex(32), hex(length()), text]
        const abi = viem.parseAbi(['function f(uint64,int64,uint128,bool,address,bytes32,bytes,string)'])
        const words = [...args.slice(0, 3), Number(args[3]), ...args.slice(4, 7), viem.stringToHex(text)]
        return [words, viem.encodeFunctionData({abi, functionName: 'f', args})]
    },
    eip712() {
        const chainId = Number(some(48)), verifyingContract = address()
        const message = {a: some(64), b: signed(64), c: some(128), d: address(), e: hex(32), f: hex(length())}
        const fields = ['uint64', 'int64', 'uint128', 'address', 'bytes32', 'bytes']
        const types = {Mixed: fields.map((type, i) => ({name: 'abcdef'[i], type}))}
        const domain = {name: 'Golden', version: '1', chainId, verifyingContract}
        return [[chainId, verifyingContract, ...Object.values(message)],
                viem.hashTypedData({domain, types, primaryType: 'Mixed', message})]
    },
    async tx() {
        const key = secret(), maxFeePerGas = some(128), maxPriorityFeePerGas = maxFeePerGas >> BigInt(below(64))
        const tx = {type: 'eip1559', chainId: Number(some(48)) + 1, nonce: Number(some(48)), maxPriorityFeePerGas,
                    maxFeePerGas, gas: some(64), to: below(8) ? address() : null, value: some(128), data: hex(length())}
        const words = [key, tx.chainId, tx.nonce, maxPriorityFeePerGas, maxFeePerGas, tx.gas, tx.to ?? '-', tx.value,
                       tx.data]
        return [words, await privateKeyToAccount(key).signTransaction(tx)]
    },
    async parse() {
        const [[key, ...fields], serialized] = await requests.tx()
        const from = privateKeyToAccount(key).address.toLowerCase()
        return [[serialized], [from, viem.keccak256(serialized), ...fields].join(' ')]
    },
}

for (const [name, make] of Object.entries(requests))
    for (let i = 0; i < Number(count); i++) {
        const [words, answer] = await make()
        console.log(`${[name, ...words].join(' ')}\t${answer}`)
    }
