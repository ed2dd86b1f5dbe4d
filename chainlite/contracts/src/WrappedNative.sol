// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Wrapped native coin: ERC-20 one for one with what the contract holds, for payments that need a token. The bridge's
/// coin is native on the chains this runs on; a devnet has no such token of its own.
/// Invariant: the balances' sum ≤ the contract's balance (more only by coins forced upon it).
contract WrappedNative {
    string public name;
    string public symbol;
    uint8 public constant decimals = 18;
    mapping(address => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed owner, address indexed spender, uint256 amount);
    event Deposit(address indexed owner, uint256 amount);
    event Withdrawal(address indexed owner, uint256 amount);

    error BalanceTooSmall(uint256 balance, uint256 needed);
    error AllowanceTooSmall(uint256 allowance, uint256 needed);
    error ZeroAddress();
    error PayoutFailed();

    constructor(string memory name_, string memory symbol_) {
        name = name_;
        symbol = symbol_;
    }

    receive() external payable {
        deposit();
    }

    function deposit() public payable {
        balanceOf[msg.sender] += msg.value;
        emit Deposit(msg.sender, msg.value);
        emit Transfer(address(0), msg.sender, msg.value);
    }

    function withdraw(uint256 amount) external {
        _take(msg.sender, amount);
        emit Withdrawal(msg.sender, amount);
        emit Transfer(msg.sender, address(0), amount);
        (bool ok,) = msg.sender.call{value: amount}("");
        if (!ok) revert PayoutFailed();
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        if (from != msg.sender) {
            uint256 allowed = allowance[from][msg.sender];
            if (allowed != type(uint256).max) { // the largest allowance is kept as "without limit"
                if (allowed < amount) revert AllowanceTooSmall(allowed, amount);
                unchecked {
                    allowance[from][msg.sender] = allowed - amount;
                }
            }
        }
        _move(from, to, amount);
        return true;
    }

    function totalSupply() external view returns (uint256) {
        return address(this).balance;
    }

    function _move(address from, address to, uint256 amount) private {
        if (to == address(0)) revert ZeroAddress();
        _take(from, amount);
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }

    function _take(address from, uint256 amount) private {
        uint256 balance = balanceOf[from];
        if (balance < amount) revert BalanceTooSmall(balance, amount);
        unchecked {
            balanceOf[from] = balance - amount;
        }
    }
}
