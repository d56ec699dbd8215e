"""Who is asking, and what they may: tokens, browser sessions, the audit trail."""
