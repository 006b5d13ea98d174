"""The ledger: folds every command and lifecycle event into the `jobs` projection, whose only writer it is."""

from consumers.ledger.ledger import LedgerPool

pool = LedgerPool()
