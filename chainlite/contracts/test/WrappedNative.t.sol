// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {WrappedNative} from "src/WrappedNative.sol";

contract RefusesCoins {
    function depositAndWithdraw(WrappedNative token) external payable {
        token.deposit{value: msg.value}();
        token.withdraw(msg.value);
    }
}

contract WrappedNativeTest is Test {
    WrappedNative private token;
    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");

    function setUp() public {
        token = new WrappedNative("Wrapped OPEN", "WOPEN");
        vm.deal(alice, 100 ether);
        vm.prank(alice);
        token.deposit{value: 10 ether}();
    }

    function test_DescribesItself() public view {
        assertEq(token.name(), "Wrapped OPEN");
        assertEq(token.symbol(), "WOPEN");
        assertEq(token.decimals(), 18);
    }

    function testFuzz_DepositBySendingAndWithdraw(uint96 amount) public {
        vm.deal(bob, amount);
        vm.startPrank(bob);
        (bool ok,) = address(token).call{value: amount}("");
        assertTrue(ok);
        assertEq(token.balanceOf(bob), amount);
        assertEq(token.totalSupply(), 10 ether + uint256(amount));
        token.withdraw(amount);
        assertEq(bob.balance, amount);
        assertEq(token.balanceOf(bob), 0);
    }

    function testFuzz_TransferMovesExactly(uint96 amount) public {
        vm.assume(amount <= 10 ether);
        vm.prank(alice);
        assertTrue(token.transfer(bob, amount));
        assertEq(token.balanceOf(alice), 10 ether - uint256(amount));
        assertEq(token.balanceOf(bob), amount);
    }

    function test_TransferFromSpendsTheAllowance() public {
        vm.prank(alice);
        assertTrue(token.approve(bob, 3 ether));
        vm.startPrank(bob);
        assertTrue(token.transferFrom(alice, bob, 1 ether));
        assertEq(token.allowance(alice, bob), 2 ether);
        vm.expectRevert(abi.encodeWithSelector(WrappedNative.AllowanceTooSmall.selector, 2 ether, 2 ether + 1));
        token.transferFrom(alice, bob, 2 ether + 1);
    }

    function test_TheLargestAllowanceIsKept() public {
        vm.prank(alice);
        token.approve(bob, type(uint256).max);
        vm.prank(bob);
        token.transferFrom(alice, bob, 1 ether);
        assertEq(token.allowance(alice, bob), type(uint256).max);
    }

    function test_TransferFromOneselfNeedsNoAllowance() public {
        vm.prank(alice);
        token.transferFrom(alice, bob, 1 ether);
        assertEq(token.balanceOf(bob), 1 ether);
    }

    function test_RefusesMoreThanTheBalance() public {
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(WrappedNative.BalanceTooSmall.selector, 10 ether, 11 ether));
        token.transfer(bob, 11 ether);
        vm.expectRevert(abi.encodeWithSelector(WrappedNative.BalanceTooSmall.selector, 10 ether, 11 ether));
        token.withdraw(11 ether);
    }

    function test_RefusesTheZeroAddress() public {
        vm.prank(alice);
        vm.expectRevert(WrappedNative.ZeroAddress.selector);
        token.transfer(address(0), 1);
    }

    function test_AFailedPayoutReverts() public {
        RefusesCoins refuser = new RefusesCoins();
        vm.deal(address(this), 1 ether);
        vm.expectRevert(WrappedNative.PayoutFailed.selector);
        refuser.depositAndWithdraw{value: 1 ether}(token);
        assertEq(token.balanceOf(address(refuser)), 0);
    }
}
