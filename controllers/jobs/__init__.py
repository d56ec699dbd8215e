"""Work that outlives a request: leased rows that workers claim, their states, their history, and the queue that wakes workers."""
