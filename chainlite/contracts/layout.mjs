// Writes layout.json: where the contracts keep what a light client proves from storage. Run after `forge build`:
//     node layout.mjs          rewrites layout.json
//     node layout.mjs --check  fails if layout.json is not what the compiler says
import {existsSync, readFileSync, writeFileSync} from 'node:fs';

const READ_BY_LIGHT_CLIENTS = {
    Clock: ['_pauses'],
    Escrow: ['_accounts', '_nodes', '_thaws', '_signers', '_refunds'],
    Registry: ['_registeredAt'],
    Rewards: ['_claimed', '_payouts'],
    Settlement: ['_batches', '_nodes'],
};

/** Solidity's name of a type without the compiler's ids: "mapping(address => struct Escrow.Account)". */
function valueOf(types, id) {
    const type = types[id];
    return type.encoding === 'mapping' ? valueOf(types, type.value) : type;
}

function describe(contract, name) {
    const {storage, types} = JSON.parse(readFileSync(`out/${contract}.sol/${contract}.json`)).storageLayout;
    const variable = storage.find((entry) => entry.label === name);
    if (!variable) throw new Error(`${contract} has no variable ${name}`);
    const members = valueOf(types, variable.type).members?.map(({label, slot, offset, type}) => ({
        name: label, slot: Number(slot), offset, bytes: Number(types[type].numberOfBytes),
    }));
    return {slot: Number(variable.slot), type: types[variable.type].label, ...(members && {members})};
}

const layout = {};
for (const [contract, names] of Object.entries(READ_BY_LIGHT_CLIENTS)) {
    if (!existsSync(`out/${contract}.sol/${contract}.json`)) throw new Error(`${contract} is not built: forge build first`);
    layout[contract] = Object.fromEntries(names.map((name) => [name, describe(contract, name)]));
}
const text = `${JSON.stringify(layout, null, 2)}\n`;
if (!process.argv.includes('--check')) {
    writeFileSync('layout.json', text);
} else if (readFileSync('layout.json', 'utf8') !== text) {
    process.stderr.write('layout.json differs from the compiler: node layout.mjs rewrites it\n');
    process.exitCode = 1;
}
