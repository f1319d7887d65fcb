-- The shop's orders: a small table, so that the sample needs no database server. No line holds personal data.
create table orders (
  number text primary key,   -- as the customer knows it
  item_en text not null,
  item_ja text not null,
  status text not null check (status in ('preparing', 'shipped', 'delivered', 'cancelled')),
  day text not null          -- when it is due, was delivered or was cancelled
);
insert into orders values
  ('KZ-10466', 'Mori 20 air purifier', '空気清浄機 モリ20', 'delivered', '2026-05-02'),
  ('KZ-10471', 'spare pre-filters, set of 5', 'プレフィルター 5枚組', 'delivered', '2026-05-04'),
  ('KZ-10475', 'Mori 20 air purifier', '空気清浄機 モリ20', 'cancelled', '2026-05-05'),
  ('KZ-10482', 'Mori 20 air purifier', '空気清浄機 モリ20', 'shipped', '2026-05-14'),
  ('KZ-10490', 'combined filter MF-20', '集じん脱臭フィルター MF-20', 'shipped', '2026-05-13'),
  ('KZ-10503', 'Mori 20 air purifier', '空気清浄機 モリ20', 'shipped', '2026-05-15'),
  ('KZ-10517', 'combined filter MF-20', '集じん脱臭フィルター MF-20', 'preparing', '2026-05-18'),
  ('KZ-10526', 'Mori 20 air purifier', '空気清浄機 モリ20', 'preparing', '2026-05-19'),
  ('KZ-10533', 'spare pre-filters, set of 5', 'プレフィルター 5枚組', 'preparing', '2026-05-20');
