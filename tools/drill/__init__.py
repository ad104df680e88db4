"""The recovery drill: a database is lost and restored, and FeexPay is asked for what the restore lost."""
