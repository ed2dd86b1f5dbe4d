// Records what a real node answers, for tests/unit/test_recorded.c: a block, its receipts, proofs of accounts and storage
// slots that are there and that are not. Run by hand when the format of the recording changes:
//   node tests/golden/record_anvil.mjs chainlite/contracts/node_modules/.bin/anvil >tests/unit/data/anvil.json
import {spawn} from 'node:child_process'
import {createServer} from 'node:net'

const FUNDED = '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266' // anvil's first account
const STORE = '0x67602035600035550060005260086018f3' // init code of: storage[first word] = second word
const ABSENT = '0x00000000000000000000000000000000000a1177'
const word = n => '0x' + BigInt(n).toString(16).padStart(64, '0')

const port = await new Promise(done => {
    const server = createServer().listen(0, '127.0.0.1', () => {
        const {port} = server.address()
        server.close(() => done(port))
    })
})
const anvil = spawn(process.argv[2], ['--port', port, '--silent', '--hardfork', 'prague', '--chain-id', '31337'])

async function call(method, ...params) {
    const body = JSON.stringify({jsonrpc: '2.0', id: 1, method, params})
    const headers = {'content-type': 'application/json'}
    const reply = await fetch(`http://127.0.0.1:${port}`, {method: 'POST', headers, body})
    const {result, error} = await reply.json()
    if (error)
        throw new Error(`${method}: ${error.message}`)
    return result
}

for (let tries = 0; tries < 100; tries++) {
    try {
        await call('eth_chainId')
        break
    } catch {
        await new Promise(done => setTimeout(done, 100))
    }
}
try {
    const deployed = await call('eth_sendTransaction', {from: FUNDED, data: STORE, gas: '0x30000'})
    const {contractAddress: contract} = await call('eth_getTransactionReceipt', deployed)
    await call('evm_setAutomine', false)
    for (let i = 0; i < 40; i++) { // slots 0, 3, …; values of 1 to 32 bytes
        const data = word(i * 3) + word((1n << BigInt(i * 6)) + 5n).slice(2)
        await call('eth_sendTransaction', {from: FUNDED, to: contract, data, gas: '0x10000'})
    }
    await call('evm_mine')
    const block = await call('eth_getBlockByNumber', 'latest', false)
    const slots = [0, 3, 6, 39, 117, 1, 2, 200].map(word)
    const proofs = []
    for (const [address, keys] of [[FUNDED, []], [contract, slots], [ABSENT, [word(0)]]])
        proofs.push(await call('eth_getProof', address, keys, block.number))
    console.log(JSON.stringify({
        client: await call('web3_clientVersion'),
        block, proofs,
        receipts: (await call('eth_getBlockReceipts', block.number)).map(r => ({
            type: r.type, status: r.status, cumulativeGasUsed: r.cumulativeGasUsed, logs: r.logs, // no logs: no bloom
        })),
    }))
} finally {
    anvil.kill()
}
